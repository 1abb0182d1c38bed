// See the header.
#include "base/progress.hpp"

#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost {
namespace {

constexpr std::chrono::milliseconds kFirst{1000};
constexpr std::chrono::milliseconds kPause{200};
/// The clock is asked once in so many steps.
constexpr std::uint64_t kStepsPerLook = 64;

Progress::Write terminal() {
  if (::isatty(STDERR_FILENO) != 1) { return {}; }
  return [](std::string_view text) { static_cast<void>(sys::write_all(STDERR_FILENO, text)); };
}

}  // namespace

Progress::Progress(std::string what)
    : Progress(std::move(what), terminal(), [] { return std::chrono::steady_clock::now(); }) {}

Progress::Progress(std::string what, Write terminal, Clock clock)
    : what_(std::move(what)), terminal_(std::move(terminal)), clock_(std::move(clock)), next_(clock_() + kFirst) {}

Progress::~Progress() { hide(); }

void Progress::step() {
  ++done_;
  if (!terminal_ || done_ % kStepsPerLook != 0) { return; }
  const auto now = clock_();
  if (now < next_) { return; }
  next_ = now + kPause;
  terminal_(fmt::format("\r{} {}\x1b[K", done_, what_));
  shown_ = true;
}

void Progress::hide() {
  if (shown_) { terminal_("\r\x1b[K"); }
  shown_ = false;
}

}  // namespace stagepost
