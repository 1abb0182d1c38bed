// SASL plug-in types of this build: what smtpd_sasl_type and smtp_sasl_type may name, and `postconf -a` and `-A` list.
#pragma once

#include <span>
#include <string_view>

namespace stagepost::config {

/// Sorted. Empty: the server (client) was built without SASL, and offers (uses) no AUTH.
[[nodiscard]] std::span<const std::string_view> sasl_server_types();
[[nodiscard]] std::span<const std::string_view> sasl_client_types();

}  // namespace stagepost::config
