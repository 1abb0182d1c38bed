// Error codes of the net layer that errno has no name for. Timeouts are std::errc::timed_out, cancellation is
// std::errc::operation_canceled.
#pragma once

#include <system_error>

namespace stagepost::net {

enum class Errc {
  end_of_stream = 1,  ///< the peer closed the connection
  limit_exceeded,     ///< more bytes than the caller's limit without the awaited end
  protocol,           ///< a peer broke the framing
};

[[nodiscard]] std::error_code make_error_code(Errc code);

}  // namespace stagepost::net

template <>
struct std::is_error_code_enum<stagepost::net::Errc> : std::true_type {};
