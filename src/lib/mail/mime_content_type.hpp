// The Content-Type field (RFC 2045 §5.1), as far as the MIME state machine needs it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::mail {

struct ContentType {
  bool is_multipart = false;
  bool is_digest = false;
  bool is_message = false;
  /// message/rfc822 and message/global: the content is a message whose header is parsed too.
  bool holds_message = false;
  /// Values of boundary parameters; more than one only in malformed fields (8 are kept). Never empty strings.
  std::vector<std::string> boundaries = {};
};

/// Never fails: what is not understood is text. Comments are skipped, boundaries cut at `boundary_limit` octets
/// (parameter mime_boundary_length_limit).
[[nodiscard]] ContentType parse_content_type(std::string_view body, std::size_t boundary_limit);

/// The first token or quoted string of a structured field body, comments skipped; "" if there is none.
[[nodiscard]] std::string first_token(std::string_view body);

}  // namespace stagepost::mail
