#include "delivery/smtp/settings.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::smtp_client {

std::string_view prefix_of(Protocol protocol) { return protocol == Protocol::smtp ? "smtp" : "lmtp"; }

Result<Settings> Settings::from(const config::Snapshot& config, Protocol protocol) {
  const bool lmtp = protocol == Protocol::lmtp;
  const auto name = [&](std::string_view suffix) { return fmt::format("{}_{}", prefix_of(protocol), suffix); };
  const auto time = [&](std::string_view suffix) { return config.seconds(name(suffix)); };
  const auto flag = [&](std::string_view suffix) { return config.boolean(name(suffix)); };
  const auto count = [&](std::string_view suffix) {
    return static_cast<std::size_t>(std::max<std::int64_t>(0, config.integer(name(suffix))));
  };
  Settings s;
  s.protocol = protocol;
  s.connect_timeout = time("connect_timeout");
  s.helo_timeout = time(lmtp ? "lhlo_timeout" : "helo_timeout");
  s.starttls_timeout = time("starttls_timeout");
  s.mail_timeout = time("mail_timeout");
  s.rcpt_timeout = time("rcpt_timeout");
  s.data_init_timeout = time("data_init_timeout");
  s.data_xfer_timeout = time("data_xfer_timeout");
  s.data_done_timeout = time("data_done_timeout");
  s.rset_timeout = time("rset_timeout");
  s.quit_timeout = time("quit_timeout");

  s.myhostname = config.text("myhostname");
  s.helo_name = config.text(name(lmtp ? "lhlo_name" : "helo_name"));
  s.always_send_ehlo = lmtp || flag("always_send_ehlo");
  s.never_send_ehlo = !lmtp && flag("never_send_ehlo");
  s.skip_5xx_greeting = flag("skip_5xx_greeting");
  s.skip_quit_response = flag("skip_quit_response");
  s.verify_at_data = text::iequals(config.text(name("address_verify_target")), "data");
  s.quote_envelope = flag("quote_rfc821_envelope");
  s.assume_final = lmtp && config.boolean("lmtp_assume_final");
  s.mime_output_conversion = !config.boolean("disable_mime_output_conversion");
  s.line_length_limit = count("line_length_limit");
  s.discard_keywords = config.list(name(lmtp ? "discard_lhlo_keywords" : "discard_ehlo_keywords"));

  s.default_port = config.text(name("tcp_port"));
  s.families = dns::parse_inet_protocols(config.text("inet_protocols"));
  const std::string preference = config.text(name("address_preference"));
  if (text::iequals(preference, "ipv4")) {
    s.preference = AddressPreference::ipv4;
  } else if (text::iequals(preference, "ipv6")) {
    s.preference = AddressPreference::ipv6;
  } else if (!text::iequals(preference, "any")) {
    return failure(fmt::format("bad parameter value: {} = {}", name("address_preference"), preference));
  }
  s.balance_protocols = flag("balance_inet_protocols");
  s.randomize_addresses = flag("randomize_addresses");
  s.address_limit = count("mx_address_limit");
  s.session_limit = count("mx_session_limit");

  s.lookup_dns = s.lookup_native = false;
  for (const auto& how : config.list(name("host_lookup"))) {
    if (text::iequals(how, "dns")) {
      s.lookup_dns = true;
    } else if (text::iequals(how, "native")) {
      s.lookup_native = true;
    } else {
      return failure(fmt::format("bad parameter value: {} = {}", name("host_lookup"), how));
    }
  }
  const std::string support = config.text(name("dns_support_level"));
  s.dns_disabled = support.empty() ? config.boolean("disable_dns_lookups") : text::iequals(support, "disabled");
  s.dns_options.dnssec = text::iequals(support, "dnssec");
  for (const auto& option : config.list(name("dns_resolver_options"))) {
    if (text::iequals(option, "res_defnames")) {
      s.dns_options.defnames = true;
    } else if (text::iequals(option, "res_dnsrch")) {
      s.dns_options.dnsrch = true;
    } else {
      return failure(fmt::format("bad parameter value: {} = {}", name("dns_resolver_options"), option));
    }
  }
  s.ignore_mx_lookup_error = config.boolean("ignore_mx_lookup_error");
  s.defer_if_no_mx_address_found = flag("defer_if_no_mx_address_found");
  s.fallback_relay = config.list(name("fallback_relay"));

  const auto bind = [&](std::string_view suffix, net::Family family,
                        std::optional<net::IpAddress>& target) -> Result<> {
    const std::string value = config.text(name(suffix));
    if (value.empty()) { return {}; }
    target = net::IpAddress::parse(value);
    if (!target || target->family() != family) {
      return failure(fmt::format("bad parameter value: {} = {}", name(suffix), value));
    }
    return {};
  };
  SP_TRY(bind("bind_address", net::Family::ipv4, s.bind_ipv4));
  SP_TRY(bind("bind_address6", net::Family::ipv6, s.bind_ipv6));

  s.cache_on_demand = flag("connection_cache_on_demand");
  s.cache_destinations = config.list(name("connection_cache_destinations"));
  s.cache_time_limit = time("connection_cache_time_limit");
  s.reuse_time_limit = time("connection_reuse_time_limit");
  s.reuse_count_limit = count("connection_reuse_count_limit");
  return s;
}

}  // namespace stagepost::smtp_client
