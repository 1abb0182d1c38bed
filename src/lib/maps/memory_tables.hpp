// Tables that live in memory: texthash, inline, internal, static, environ, fail, and the views of the user database.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/open.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

/// Each takes the part after "type:" and says in its Error what is wrong with it.
[[nodiscard]] Result<std::unique_ptr<Table>> open_texthash(std::string_view path, const OpenContext& context);
/// {key=value, { key = value with spaces }}: the last of equal keys counts.
[[nodiscard]] Result<std::unique_ptr<Table>> open_inline(std::string_view name, const OpenContext& context);
[[nodiscard]] Result<std::unique_ptr<Table>> open_internal(std::string_view name, const OpenContext& context);
/// The name, or what is inside { }, is the value of every key.
[[nodiscard]] Result<std::unique_ptr<Table>> open_static(std::string_view name, const OpenContext& context);
[[nodiscard]] Result<std::unique_ptr<Table>> open_environ(std::string_view name, const OpenContext& context);
/// Each lookup fails (temporarily).
[[nodiscard]] Result<std::unique_ptr<Table>> open_fail(std::string_view name, const OpenContext& context);
/// passwd.byname, group.byname. Blocks as getpwnam(3) does; with a network user database give it a cache.
[[nodiscard]] Result<std::unique_ptr<Table>> open_unix(std::string_view name, const OpenContext& context);

}  // namespace stagepost::maps
