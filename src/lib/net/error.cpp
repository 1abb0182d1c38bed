#include "net/error.hpp"

#include <string>

namespace stagepost::net {
namespace {

class Category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "net"; }
  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::end_of_stream:
        return "lost connection";
      case Errc::limit_exceeded:
        return "input limit exceeded";
      case Errc::protocol:
        return "protocol violation";
    }
    return "unknown";
  }
};

}  // namespace

std::error_code make_error_code(Errc code) {
  static const Category category;
  return {static_cast<int>(code), category};
}

}  // namespace stagepost::net
