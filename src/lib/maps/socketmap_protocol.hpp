// The protocol of socketmap_table(5): netstrings, and the replies that are in them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::maps {

/// "LENGTH:NAME KEY,".
[[nodiscard]] std::string socketmap_request(std::string_view map_name, std::string_view key);

/// A netstring at the beginning of `bytes`.
struct Netstring {
  std::string_view payload;    ///< points into `bytes`
  std::size_t size_bytes = 0;  ///< of the whole, with length and comma
};
/// Nullopt: more bytes are needed. Errors, in Postfix's words: "input format error", "input exceeds size limit" (more
/// than `limit_bytes` of payload). The answer does not depend on how the bytes arrive, and no more than `limit_bytes`
/// and a few are ever needed for one.
[[nodiscard]] Result<std::optional<Netstring>> parse_netstring(std::string_view bytes, std::size_t limit_bytes);

struct SocketmapReply {
  enum class Status : std::uint8_t { ok, not_found, temporary, timeout, permanent };
  Status status = Status::temporary;
  std::string text;  ///< the value, or why not
  /// False: "OK" without the blank that begins the value, which Postfix takes for "not found".
  bool has_text = false;
};

/// Error "socketmap server unknown error: TEXT": none of OK, NOTFOUND, TEMP, TIMEOUT, PERM, or a NUL byte.
[[nodiscard]] Result<SocketmapReply> parse_socketmap_reply(std::string_view payload);

}  // namespace stagepost::maps
