// Names and numbers of hosts: syntax checks (RFC 1123 §2.1, RFC 5321 §4.1.3), IDNA conversion (UTS #46, ICU) and parent
// domains for table look-ups. No DNS.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::mail {

/// Letters, digits, '-', '_' and dots; no empty label, label at most 63, name at most 255 octets, no '-' at either end
/// of a label, not all-numeric. One trailing dot is not accepted.
[[nodiscard]] bool is_valid_hostname(std::string_view name);
/// Does it contain a dot, and is it a hostname (reject_non_fqdn_*)?
[[nodiscard]] bool is_fqdn(std::string_view name);
[[nodiscard]] bool is_ipv4(std::string_view address);
[[nodiscard]] bool is_ipv6(std::string_view address);
/// "192.0.2.1" or "2001:db8::1": without brackets or prefix.
[[nodiscard]] bool is_ip_address(std::string_view address);

/// The address inside "[192.0.2.1]" or "[IPv6:2001:db8::1]"; nullopt if it is neither.
[[nodiscard]] std::optional<std::string_view> parse_address_literal(std::string_view literal);

enum class Idna { idna2008, idna2003_compatible };  // parameter enable_idna2003_compatibility
/// U-labels → A-labels ("xn--..."). ASCII names come back as they are. nullopt if not convertible.
[[nodiscard]] std::optional<std::string> domain_to_ascii(std::string_view domain, Idna idna = Idna::idna2008);
/// A-labels → U-labels.
[[nodiscard]] std::optional<std::string> domain_to_utf8(std::string_view domain, Idna idna = Idna::idna2008);

/// "a.b.c" → "b.c" → "c" → "". An address literal has no parent.
[[nodiscard]] std::string_view parent_domain(std::string_view domain);

}  // namespace stagepost::mail
