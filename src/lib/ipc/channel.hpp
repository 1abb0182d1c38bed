// A connection between two of our processes: whole messages in, whole messages out.
#pragma once

#include <memory>

#include "ipc/frame.hpp"
#include "net/buffered_stream.hpp"

namespace stagepost::ipc {

class Channel {
 public:
  explicit Channel(std::unique_ptr<net::Stream> stream) : io_(std::move(stream)) {}

  /// Buffers a message; several go out with one write. Call flush() or use send() for the last. A sender of long runs
  /// awaits flush() whenever unsent_bytes() passes 64 KiB, so that the peer's pace bounds memory.
  template <class Message>
  void queue(const Message& message) {
    append_frame(io_.output(), message);
  }
  template <class Message>
  [[nodiscard]] net::Task<Result<>> send(const Message& message, Deadline deadline) {
    queue(message);
    auto flushed = co_await flush(deadline);
    co_return flushed;
  }
  [[nodiscard]] net::Task<Result<>> flush(Deadline deadline) { return io_.flush(deadline); }
  [[nodiscard]] std::size_t unsent_bytes() const { return io_.unsent_bytes(); }

  /// Next message. net::Errc::end_of_stream when the peer closed between messages; bad_message ends the connection.
  [[nodiscard]] net::Task<Result<Frame>> receive(Deadline deadline);
  template <class Message>
  [[nodiscard]] net::Task<Result<Message>> receive_as(Deadline deadline) {
    const auto frame = co_await receive(deadline);
    if (!frame) { co_return std::unexpected(frame.error()); }
    co_return frame->template as<Message>();
  }
  /// Sends a request and awaits its reply.
  template <class Reply, class Request>
  [[nodiscard]] net::Task<Result<Reply>> call(const Request& request, Deadline deadline) {
    const auto sent = co_await send(request, deadline);
    if (!sent) { co_return std::unexpected(sent.error()); }
    auto reply = co_await receive_as<Reply>(deadline);
    co_return reply;
  }

  /// Waits until the peer sends (or has sent) something further; the frame of the last receive is gone then.
  [[nodiscard]] net::Task<Result<>> wait_input(Deadline deadline);

  [[nodiscard]] net::BufferedStream& io() { return io_; }
  /// True when the peer sent bytes or closed while no reply was due: an idle connection that must not be reused.
  [[nodiscard]] bool stale() const;
  void cancel() { io_.cancel(); }
  void close() { io_.close(); }

 private:
  net::BufferedStream io_;
  std::size_t unread_ = 0;  // bytes of the frame handed out by the last receive
};

}  // namespace stagepost::ipc
