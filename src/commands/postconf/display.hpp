// How postconf shows a value: white space collapsed, long lines folded on request.
#pragma once

#include <string>
#include <string_view>

namespace stagepost::postconf {

struct Style {
  bool hide_name = false;
  bool hide_value = false;
  bool fold = false;
};

/// "name = value" (or one of the two) with its line break.
[[nodiscard]] std::string format_setting(std::string_view name, std::string_view value, const Style& style);
/// Runs of white space as one space, none at the ends.
[[nodiscard]] std::string collapse_space(std::string_view text);

/// `text` between double quotes (RFC 8259); bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);
/// "name": "value"
[[nodiscard]] std::string json_member(std::string_view name, std::string_view value);

}  // namespace stagepost::postconf
