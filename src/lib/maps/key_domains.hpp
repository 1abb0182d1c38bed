// The `domain` parameter of table clients (mysql_table(5), ldap_table(5) ...): spares a server the keys it cannot know.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "maps/open.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

/// `table`, asked only for keys user@domain whose user is not empty and whose domain is in `list` (names, /files,
/// type:table, "!"; a name does not stand for its subdomains); other keys are not found, and neither
/// stored (with a warning) nor erased. Error: a malformed list.
[[nodiscard]] Result<std::unique_ptr<Table>> only_key_domains(std::unique_ptr<Table> table, const std::string& list,
                                                              const OpenContext& context);

}  // namespace stagepost::maps
