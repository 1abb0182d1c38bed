// The one owner of a connection's input and output buffers. Protocol code reads lines or raw spans from it and never
// from the transport, so that STARTTLS can assert that nothing was read ahead (command injection).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/stream.hpp"

namespace stagepost::net {

/// A line without its ending. `text` is valid until the next call that reads.
struct Line {
  enum class Ending : unsigned char { crlf, lf };
  std::string_view text;
  Ending ending = Ending::crlf;
};

class BufferedStream {
 public:
  explicit BufferedStream(std::unique_ptr<Stream> transport);

  /// Next line of at most `limit_bytes` without its ending. Errc::limit_exceeded when no end came within the limit:
  /// the bytes stay buffered and the caller decides (take_partial). Errc::end_of_stream when the peer closed first.
  [[nodiscard]] Task<Result<Line>> read_line(std::size_t limit_bytes, Deadline deadline);
  /// After limit_exceeded: takes the buffered part of the over-long line.
  [[nodiscard]] std::string take_partial(std::size_t limit_bytes);

  /// What is buffered; when nothing is, waits for some bytes first. Follow with consume().
  [[nodiscard]] Task<Result<std::string_view>> peek(Deadline deadline);
  /// Waits for more bytes than are buffered now, up to the buffer's size (64 KiB).
  [[nodiscard]] Task<Result<std::string_view>> peek_more(Deadline deadline);
  /// At least `size_bytes` buffered bytes as one view.
  [[nodiscard]] Task<Result<std::string_view>> peek_exactly(std::size_t size_bytes, Deadline deadline);
  void consume(std::size_t size_bytes);
  /// Bytes read and not consumed yet: what a pipelining client sent ahead.
  [[nodiscard]] std::string_view buffered() const { return std::string_view(input_).substr(start_); }

  /// Adds to the output without waiting; flush() sends it. Past 64 KiB use write(), which flushes by itself.
  void append(std::string_view bytes) { output_ += bytes; }
  /// The same, for those who encode in place.
  [[nodiscard]] std::string& output() { return output_; }
  [[nodiscard]] std::size_t unsent_bytes() const { return output_.size(); }
  [[nodiscard]] Task<Result<>> write(std::string_view bytes, Deadline deadline);
  [[nodiscard]] Task<Result<>> flush(Deadline deadline);

  /// For STARTTLS: hands the transport over. Asserts that both buffers are empty; call discard_input() first where the
  /// protocol allows a peer to have sent more (it must not be read as if it had come under TLS).
  [[nodiscard]] std::unique_ptr<Stream> release_transport();
  void set_transport(std::unique_ptr<Stream> transport);
  void discard_input();

  [[nodiscard]] Stream& transport() { return *transport_; }
  void cancel() { transport_->cancel(); }
  void close();

 private:
  Task<Result<>> fill(Deadline deadline);

  std::unique_ptr<Stream> transport_;
  std::string input_;
  std::size_t start_ = 0;
  std::string output_;
};

}  // namespace stagepost::net
