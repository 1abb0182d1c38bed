#include "net/stdio_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "net/event.hpp"

namespace stagepost::net {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;

/// Milliseconds for poll(2); at least 0.
int remaining(Deadline deadline) {
  if (deadline.is_never()) { return -1; }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.at() - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

/// Asio would make the descriptor non-blocking, so the wait is poll(2), which also knows files and devices.
Result<> wait_for(int fd, short events, Deadline deadline, const char* what) {
  for (;;) {
    pollfd wait{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&wait, 1, remaining(deadline));
    if (ready > 0) { return {}; }
    if (ready == 0) { return failure(what, std::errc::timed_out); }
    if (errno != EINTR) { return errno_failure(what); }
  }
}

class StdioStream final : public Stream {
 public:
  StdioStream(int input, int output) : input_(input), output_(output) {}

  Task<Result<std::size_t>> read_some(std::span<char> buffer, Deadline deadline) override {
    co_await yield_now();  // what else the process does gets its turn before the wait
    if (closed_) { co_return failure("read", std::errc::operation_canceled); }
    SP_CO_TRY(wait_for(input_, POLLIN, deadline, "read"));
    co_return sys::read(input_, buffer);
  }

  Task<Result<std::size_t>> append_some(std::string& target, std::size_t limit_bytes, Deadline deadline) override {
    std::array<char, kReadBytes> buffer;
    const auto n = co_await read_some(std::span(buffer).first(std::min(limit_bytes, buffer.size())), deadline);
    if (n) { target.append(buffer.data(), *n); }
    co_return n;
  }

  Task<Result<>> write_all(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      if (closed_) { co_return failure("write", std::errc::operation_canceled); }
      SP_CO_TRY(wait_for(output_, POLLOUT, deadline, "write"));
      // A pipe that is ready takes this much without blocking.
      const std::string_view piece = bytes.substr(0, PIPE_BUF);
      const auto written = sys::write_all(output_, piece);
      if (!written) { co_return written; }
      bytes.remove_prefix(piece.size());
    }
    co_return Result<>{};
  }

  void cancel() override { closed_ = true; }
  void close() override { closed_ = true; }
  [[nodiscard]] int native_handle() const override { return -1; }

 private:
  int input_;
  int output_;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Stream> make_stdio_stream(int input, int output) {
  return std::make_unique<StdioStream>(input, output);
}

}  // namespace stagepost::net
