// Runs a callable at the end of a scope: `const Defer close([&] { ... });`
#pragma once

#include <utility>

namespace stagepost {

template <class F>
class [[nodiscard]] Defer {
 public:
  explicit Defer(F f) : f_(std::move(f)) {}
  Defer(const Defer&) = delete;
  Defer& operator=(const Defer&) = delete;
  ~Defer() { f_(); }

 private:
  F f_;
};

}  // namespace stagepost
