// The parameters of the SMTP and LMTP clients, read once. One program serves both: the protocol decides the prefix
// (smtp_ or lmtp_), and some names differ (smtp_helo_timeout, lmtp_lhlo_timeout).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "dns/resolver.hpp"
#include "net/endpoint.hpp"

namespace stagepost::smtp_client {

enum class Protocol : std::uint8_t { smtp, lmtp };
/// "smtp" or "lmtp": the prefix of the parameters.
[[nodiscard]] std::string_view prefix_of(Protocol protocol);

enum class AddressPreference : std::uint8_t { any, ipv4, ipv6 };

struct Settings {
  Protocol protocol = Protocol::smtp;

  std::chrono::seconds connect_timeout{30};  ///< zero: as long as the system takes
  std::chrono::seconds helo_timeout{300};
  std::chrono::seconds starttls_timeout{300};
  std::chrono::seconds mail_timeout{300};
  std::chrono::seconds rcpt_timeout{300};
  std::chrono::seconds data_init_timeout{120};
  std::chrono::seconds data_xfer_timeout{180};
  std::chrono::seconds data_done_timeout{600};
  std::chrono::seconds rset_timeout{20};
  std::chrono::seconds quit_timeout{300};

  std::string myhostname;
  std::string helo_name;
  bool always_send_ehlo = true;
  bool never_send_ehlo = false;
  bool skip_5xx_greeting = true;
  bool skip_quit_response = true;
  bool verify_at_data = false;  ///< *_address_verify_target: a probe ends after DATA, not after RCPT
  bool quote_envelope = true;
  bool assume_final = false;           ///< lmtp_assume_final
  bool mime_output_conversion = true;  ///< disable_mime_output_conversion = no
  std::size_t line_length_limit = 998;
  std::vector<std::string> discard_keywords;

  std::string default_port = "smtp";
  dns::Families families = dns::Families::both;
  AddressPreference preference = AddressPreference::any;
  bool balance_protocols = true;
  bool randomize_addresses = true;
  std::size_t address_limit = 5;  ///< smtp_mx_address_limit; 0: none
  std::size_t session_limit = 2;  ///< smtp_mx_session_limit; 0: none
  bool lookup_dns = true;         ///< smtp_host_lookup
  bool lookup_native = false;
  bool dns_disabled = false;  ///< no MX look-ups
  dns::LookupOptions dns_options;
  bool ignore_mx_lookup_error = false;
  bool defer_if_no_mx_address_found = false;
  std::vector<std::string> fallback_relay;
  std::optional<net::IpAddress> bind_ipv4;
  std::optional<net::IpAddress> bind_ipv6;

  bool cache_on_demand = true;
  std::vector<std::string> cache_destinations;
  std::chrono::seconds cache_time_limit{2};
  std::chrono::seconds reuse_time_limit{300};
  std::size_t reuse_count_limit = 0;

  [[nodiscard]] static Result<Settings> from(const config::Snapshot& config, Protocol protocol);
};

}  // namespace stagepost::smtp_client
