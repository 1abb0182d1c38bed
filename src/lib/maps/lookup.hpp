// What a lookup is, for everything that answers one: tables in the program, tables in loadable modules, and the
// connections of client libraries. Knows neither coroutines nor the event loop, so that modules need neither.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::maps {

/// The value stored under a key, or nothing: the key is not there. A failed lookup is an Error, never "nothing", so
/// that a broken table can only defer mail.
using Found = std::optional<std::string>;

/// What a table's left-hand sides are, which decides what it may be asked. Fixed strings are also asked for parts of a
/// name (user@domain, then domain ...); patterns see whole names only, and match in the case the name came in.
enum class KeyKind : std::uint8_t { fixed, pattern };

/// What a table is opened for. Tables that are written are caches and the like; source files become tables through
/// TableWriter.
enum class Access : std::uint8_t { read, write };

/// Called for each entry of a table; an Error ends the walk and is what it returns.
using Visit = std::function<Result<>(std::string_view key, std::string_view value)>;

/// The longest key a table looks for and the longest value it may return, in bytes. A longer key is simply not found; a
/// longer value is an Error.
inline constexpr std::size_t kKeyLimit = 100'000;
inline constexpr std::size_t kValueLimit = 16U << 20U;

}  // namespace stagepost::maps
