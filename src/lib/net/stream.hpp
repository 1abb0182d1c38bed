// A connection as a stream of bytes: a socket, TLS over another stream, or a script in a test.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "net/task.hpp"

namespace stagepost::net {

/// One read and one write may be pending at a time. Failures: std::errc::timed_out at the deadline (the connection is
/// unusable then: the other pending operation fails too), operation_canceled after cancel() or when the task was told
/// to end, the socket's errno otherwise.
class Stream {
 public:
  virtual ~Stream() = default;

  /// At least one byte, or 0 when the peer has closed.
  [[nodiscard]] virtual Task<Result<std::size_t>> read_some(std::span<char> buffer, Deadline deadline) = 0;
  /// As read_some, but appends what came (at most `limit_bytes`) to `target`; no buffer is held while waiting.
  [[nodiscard]] virtual Task<Result<std::size_t>> append_some(std::string& target, std::size_t limit_bytes,
                                                              Deadline deadline) = 0;
  [[nodiscard]] virtual Task<Result<>> write_all(std::string_view bytes, Deadline deadline) = 0;
  /// Fails what is pending, from outside the task that waits.
  virtual void cancel() = 0;
  virtual void close() = 0;
  /// The socket, for options and descriptor passing; -1 where there is none.
  [[nodiscard]] virtual int native_handle() const = 0;
};

}  // namespace stagepost::net
