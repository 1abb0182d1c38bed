// postconf(5): the manual page of all parameters, made from the registry and the descriptions.
#pragma once

#include <string>

namespace stagepost::postconf {

/// The page as mdoc source, with the defaults of this installation.
[[nodiscard]] std::string manual_page();

}  // namespace stagepost::postconf
