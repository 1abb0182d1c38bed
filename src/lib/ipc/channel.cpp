#include "ipc/channel.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace stagepost::ipc {

net::Task<Result<Frame>> Channel::receive(Deadline deadline) {
  io_.consume(std::exchange(unread_, 0));
  const auto head = co_await io_.peek_exactly(kHeaderBytes, deadline);
  if (!head) { co_return std::unexpected(head.error()); }
  const auto header = parse_header(*head);
  if (!header) {
    io_.close();
    co_return std::unexpected(header.error());
  }
  const auto whole = co_await io_.peek_exactly(kHeaderBytes + header->payload_bytes, deadline);
  if (!whole) { co_return std::unexpected(whole.error()); }
  unread_ = whole->size();
  co_return Frame{header->type, whole->substr(kHeaderBytes)};
}

net::Task<Result<>> Channel::wait_input(Deadline deadline) {
  io_.consume(std::exchange(unread_, 0));
  const auto peeked = co_await io_.peek(deadline);
  if (!peeked) { co_return std::unexpected(peeked.error()); }
  co_return Result<>{};
}

bool Channel::stale() const {
  if (io_.buffered().size() > unread_) { return true; }
  char byte = 0;
  const int fd = const_cast<net::BufferedStream&>(io_).transport().native_handle();
  const auto n = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace stagepost::ipc
