// Which keys are looked up for an address, domain or client, and in what order: virtual(5), canonical(5), transport(5),
// access(5), aliases(5), relocated(5), generic(5). Pure: text in, list of keys out; chain.hpp asks the tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::maps {

/// Pattern tables are asked for whole keys only; parts of a name are for fixed-key tables.
enum class Part : std::uint8_t { whole, partial };

struct LookupKey {
  std::string text;
  Part part = Part::whole;
  /// What the key left out of the address, with its delimiter ("+foo"): added to the result when
  /// propagate_unmatched_extensions says so. Empty when the key has the extension or there was none.
  std::string unmatched_extension = {};
  bool operator==(const LookupKey&) const = default;
};
using LookupKeys = std::vector<LookupKey>;

/// How a local-part and its extension are told apart.
struct ExtensionRule {
  std::string delimiters;             ///< recipient_delimiter: a set of characters; empty: no extensions
  bool owner_request_special = true;  ///< owner-list and list-request are whole names
  std::string double_bounce_sender = "double-bounce";
};

struct SplitLocalPart {
  std::string_view user;
  std::string_view extension;  ///< with its delimiter; empty when there is none
  bool operator==(const SplitLocalPart&) const = default;
};
/// At the first delimiter, unless it is the first character. mailer-daemon, postmaster and the double-bounce address
/// have no extension.
[[nodiscard]] SplitLocalPart split_local_part(std::string_view local_part, const ExtensionRule& rule);

/// Whether the address is in a domain whose users may be listed without domain ($myorigin, $mydestination,
/// $inet_interfaces, $proxy_interfaces): then bare `user` is a key too.
enum class Site : std::uint8_t { local, other };
/// Whether a domain pattern is written "example.com" and matches subdomains too (the feature is listed in
/// parent_domain_matches_subdomains) or ".example.com" (it is not).
enum class ParentStyle : std::uint8_t { plain, dotted };

/// virtual(5), canonical(5), generic(5), relocated(5), *_recipient_maps: user+ext@domain, user@domain, user+ext, user
/// (if `site` is local), @domain. An address without domain gives user+ext, user.
[[nodiscard]] LookupKeys address_keys(std::string_view address, const ExtensionRule& rule, Site site);

/// aliases(5): user+ext, user. `local_part` has no domain.
[[nodiscard]] LookupKeys alias_keys(std::string_view local_part, const ExtensionRule& rule);

/// transport(5): user+ext@domain, user@domain, domain, parent domains, *. `address` must have a domain.
[[nodiscard]] LookupKeys transport_keys(std::string_view address, const ExtensionRule& rule, ParentStyle style);

/// access(5) for a sender or recipient: user+ext@domain, user@domain, domain, parent domains, user+ext@, user@.
[[nodiscard]] LookupKeys access_address_keys(std::string_view address, const ExtensionRule& rule, ParentStyle style);

/// access(5) for a host name: the name, parent domains.
[[nodiscard]] LookupKeys access_host_keys(std::string_view host, ParentStyle style);

/// access(5) for an IP address in its text form: the address, then shortened by one octet (or octet pair) at a time.
[[nodiscard]] LookupKeys access_network_keys(std::string_view address);

/// A domain and its parents: the part that transport_keys, access_*_keys and domain lists share.
[[nodiscard]] LookupKeys domain_keys(std::string_view domain, ParentStyle style);

/// Tables that propagate_unmatched_extensions may name.
enum class ExtensionUse : std::uint8_t { canonical, virtual_, alias, forward, include, generic };

/// propagate_unmatched_extensions as a set.
class ExtensionPropagation {
 public:
  /// Unknown words are ignored and reported in `unknown` when it is given.
  [[nodiscard]] static ExtensionPropagation parse(std::string_view list, std::vector<std::string>* unknown = nullptr);
  [[nodiscard]] bool applies_to(ExtensionUse use) const { return (bits_ & bit(use)) != 0; }

 private:
  [[nodiscard]] static constexpr unsigned bit(ExtensionUse use) { return 1U << static_cast<unsigned>(use); }
  unsigned bits_ = 0;
};

/// `address` with `extension` put before its domain: ("joe@x", "+foo") -> "joe+foo@x".
[[nodiscard]] std::string with_extension(std::string_view address, std::string_view extension);

/// RESULT ADDRESS REWRITING of virtual(5) and canonical(5): a result "@other.domain" means the same user there.
/// `address` is the one that was looked up, without the part that `extension` names.
[[nodiscard]] std::string expand_domain_result(std::string_view result, std::string_view address);

/// parent_domain_matches_subdomains: is `feature` (a parameter name, "smtpd_access_maps" ...) in the list?
[[nodiscard]] ParentStyle parent_style(std::string_view parent_domain_matches_subdomains, std::string_view feature);

}  // namespace stagepost::maps
