#include "net/buffered_stream.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "net/error.hpp"

namespace stagepost::net {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kFlushBytes = 64 * 1024;
/// Memory that a connection keeps for its next reply or request.
constexpr std::size_t kKeptBytes = 512;

std::unexpected<Error> stream_failure(Errc code) { return std::unexpected(Error{make_error_code(code), {}}); }

}  // namespace

BufferedStream::BufferedStream(std::unique_ptr<Stream> transport) : transport_(std::move(transport)) {}

Task<Result<>> BufferedStream::fill(Deadline deadline) {
  if (start_ == input_.size()) {
    start_ = 0;
    input_.clear();
    if (input_.capacity() > 1024) { input_.shrink_to_fit(); }
  } else if (start_ > 0) {
    input_.erase(0, start_);
    start_ = 0;
  }
  const auto n = co_await transport_->append_some(input_, kReadBytes, deadline);
  if (!n) { co_return std::unexpected(n.error()); }
  if (*n == 0) { co_return stream_failure(Errc::end_of_stream); }
  co_return Result<>{};
}

Task<Result<Line>> BufferedStream::read_line(std::size_t limit_bytes, Deadline deadline) {
  std::size_t scanned = 0;
  for (;;) {
    const std::string_view bytes = buffered();
    const std::size_t newline = bytes.find('\n', scanned);
    if (newline != std::string_view::npos) {
      const bool crlf = newline > 0 && bytes[newline - 1] == '\r';
      const std::size_t length = crlf ? newline - 1 : newline;
      if (length > limit_bytes) { co_return stream_failure(Errc::limit_exceeded); }
      start_ += newline + 1;
      co_return Line{bytes.substr(0, length), crlf ? Line::Ending::crlf : Line::Ending::lf};
    }
    if (bytes.size() > limit_bytes + 1) { co_return stream_failure(Errc::limit_exceeded); }
    scanned = bytes.size();
    const auto filled = co_await fill(deadline);
    if (!filled) { co_return std::unexpected(filled.error()); }
  }
}

std::string BufferedStream::take_partial(std::size_t limit_bytes) {
  std::string part(buffered().substr(0, limit_bytes));
  consume(part.size());
  return part;
}

Task<Result<std::string_view>> BufferedStream::peek(Deadline deadline) {
  if (buffered().empty()) {
    const auto filled = co_await fill(deadline);
    if (!filled) { co_return std::unexpected(filled.error()); }
  }
  co_return buffered();
}

Task<Result<std::string_view>> BufferedStream::peek_more(Deadline deadline) {
  if (buffered().size() >= kReadBytes) { co_return stream_failure(Errc::limit_exceeded); }
  const auto filled = co_await fill(deadline);
  if (!filled) { co_return std::unexpected(filled.error()); }
  co_return buffered();
}

Task<Result<std::string_view>> BufferedStream::peek_exactly(std::size_t size_bytes, Deadline deadline) {
  while (buffered().size() < size_bytes) {
    const auto filled = co_await fill(deadline);
    if (!filled) { co_return std::unexpected(filled.error()); }
  }
  co_return buffered().substr(0, size_bytes);
}

void BufferedStream::consume(std::size_t size_bytes) {
  SP_ASSERT(size_bytes <= buffered().size());
  start_ += size_bytes;
}

Task<Result<>> BufferedStream::write(std::string_view bytes, Deadline deadline) {
  if (output_.size() + bytes.size() < kFlushBytes) {
    output_ += bytes;
    co_return Result<>{};
  }
  const auto flushed = co_await flush(deadline);
  if (!flushed) { co_return flushed; }
  if (bytes.size() < kFlushBytes) {
    output_ += bytes;
    co_return Result<>{};
  }
  auto written = co_await transport_->write_all(bytes, deadline);
  co_return written;
}

Task<Result<>> BufferedStream::flush(Deadline deadline) {
  if (output_.empty()) { co_return Result<>{}; }
  std::string bytes = std::exchange(output_, {});
  auto written = co_await transport_->write_all(bytes, deadline);
  if (output_.capacity() < bytes.capacity() && output_.empty() && bytes.capacity() <= kKeptBytes) {
    bytes.clear();
    output_ = std::move(bytes);
  }
  co_return written;
}

std::unique_ptr<Stream> BufferedStream::release_transport() {
  SP_ASSERT(buffered().empty() && output_.empty());
  return std::move(transport_);
}

void BufferedStream::set_transport(std::unique_ptr<Stream> transport) { transport_ = std::move(transport); }

void BufferedStream::discard_input() {
  input_.clear();
  start_ = 0;
}

void BufferedStream::close() {
  if (transport_) { transport_->close(); }
}

}  // namespace stagepost::net
