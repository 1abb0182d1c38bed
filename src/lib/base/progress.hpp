// How far long work has got, for a person at a terminal: a line on standard error that is written again and again and
// removed at the end. Nothing at all when standard error is no terminal, and for work that is done quickly.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace stagepost {

class Progress {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  using Write = std::function<void(std::string_view)>;

  /// `what` is counted, in the plural: "files looked at".
  explicit Progress(std::string what);
  /// With a terminal and a time of the caller's, for tests.
  Progress(std::string what, Write terminal, Clock clock);
  /// Removes the line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// One more done.
  void step();
  /// Removes the line until the next step that shows it again; before other output to the terminal.
  void hide();

 private:
  std::string what_;
  Write terminal_;  ///< empty: no terminal
  Clock clock_;
  std::chrono::steady_clock::time_point next_;
  std::uint64_t done_ = 0;
  bool shown_ = false;
};

}  // namespace stagepost
