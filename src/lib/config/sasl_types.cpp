#include "config/sasl_types.hpp"

namespace stagepost::config {

std::span<const std::string_view> sasl_server_types() { return {}; }
std::span<const std::string_view> sasl_client_types() { return {}; }

}  // namespace stagepost::config
