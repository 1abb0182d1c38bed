// "Did you mean ...?": the known name that a mistyped one is closest to. For commands and for checks of the
// configuration, never for anything that decides.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace stagepost {

/// The name that differs in the fewest letters (inserted, left out, replaced), at most two; the first of several. Empty
/// when none is that close, or `word` is longer than 200 bytes. A short word must keep half of its letters.
[[nodiscard]] std::string_view nearest_name(std::string_view word, std::span<const std::string_view> names);
/// " (did you mean name?)" for the end of a message; empty when no name is near.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string_view> names);

}  // namespace stagepost
