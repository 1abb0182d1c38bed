// The line protocol of tcp_table(5): what a client asks and what a server may answer. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::maps {

/// The longest reply line, newline included (tcp_table(5), REPLY FORMAT).
inline constexpr std::size_t kTcpReplyLimit = 4096;

/// "get KEY\n", with '%', white space and whatever is not printable ASCII in `key` as %XX.
[[nodiscard]] std::string tcp_request(std::string_view key);

struct TcpReply {
  enum class Status : std::uint8_t {
    found,      ///< 200
    temporary,  ///< 400
    not_found,  ///< 500
  };
  Status status = Status::temporary;
  std::string text;  ///< decoded: the value, or why not
};

/// `line` without its newline. Errors, with the text Postfix has for them: "malformed reply" (no code and text, bad
/// %XX, a NUL byte), "bad status code" (three digits, but none of the above).
[[nodiscard]] Result<TcpReply> parse_tcp_reply(std::string_view line);

}  // namespace stagepost::maps
