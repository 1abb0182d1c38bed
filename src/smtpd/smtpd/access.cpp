// See access.hpp. Codes and texts are those of Postfix 3.7.11, taken from its behaviour.
#include "smtpd/smtpd/access.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "log/log.hpp"
#include "mail/hostname.hpp"
#include "smtpd/smtpd/access_reply.hpp"

namespace stagepost::smtpd {
namespace {

using clients::AddressClass;
using clients::ResolveReply;
using smtp::Reply;

/// Restriction classes and lists in tables inside each other.
constexpr int kMaxDepth = 16;
constexpr std::string_view kConfigurationError = "Server configuration error";

Reply configuration_error() { return {.code = 451, .enhanced = "4.3.5", .text = std::string(kConfigurationError)}; }
Reply lookup_failure(std::string_view address) {
  return {.code = 451, .enhanced = "4.3.0", .text = fmt::format("<{}>: Temporary lookup failure", address)};
}

struct Verdict {
  enum class Kind : std::uint8_t { dunno, permit, reject } kind = Kind::dunno;
  Reply reply = {};
};
Verdict dunno() { return {}; }
Verdict permit() { return {.kind = Verdict::Kind::permit}; }
Verdict reject(Reply reply) { return {.kind = Verdict::Kind::reject, .reply = std::move(reply)}; }

/// What a list or a table's action refers to, and how deep it is nested.
struct Scope {
  Topic topic;
  int depth = 0;
};

struct Evaluation {
  const Policy& policy;
  Lookups& lookups;
  AccessRequest request;
  AccessEffects& effects;
  const AccessNote& note;
  std::optional<Reply> defer_if_permit = {};
  std::optional<Reply> defer_if_reject = {};
  bool unlisted_recipient_checked = false;
  /// Set while the restriction behind warn_if_reject is applied.
  bool only_warn = false;

  [[nodiscard]] const AccessSettings& access() const { return policy.access; }
  [[nodiscard]] Topic client_topic() const { return {request.client.label, kClientHost}; }
  [[nodiscard]] Topic helo_topic() const { return {std::string(request.helo), kHeloCommand}; }
  [[nodiscard]] Topic sender_topic() const { return {std::string(request.sender.value_or("")), kSenderAddress}; }
  [[nodiscard]] Topic recipient_topic() const {
    return {std::string(request.recipient.value_or("")), kRecipientAddress};
  }
  [[nodiscard]] Topic topic_of(Stage stage) const;

  net::Task<Verdict> apply(const Rules& rules, Scope scope);
  net::Task<Verdict> apply_one(const Rule& rule, Scope scope);
  net::Task<Verdict> look_up(const Rule& rule, maps::LookupKeys keys, Topic topic, int depth);
  net::Task<Verdict> look_up_client(const Rule& rule, bool reverse, int depth);
  net::Task<Verdict> look_up_address(const Rule& rule, std::string address, Topic topic, int depth);
  net::Task<Verdict> table_action(const Rule& rule, std::string key, std::string value, Topic topic, int depth);
  Verdict numeric_action(std::string_view value, const Topic& topic);
  net::Task<Verdict> unauth_destination(const Rule& rule);
  net::Task<Verdict> unknown_domain(std::string address, Topic topic);
  net::Task<Verdict> unknown_helo();
  net::Task<Verdict> unlisted(std::string sender, std::string address, Topic topic);
  net::Task<Verdict> in_networks();
  Verdict helo_syntax(Check check);
  Verdict non_fqdn_address(std::optional<std::string_view> address, const Topic& topic) const;
  Verdict deferred(Reply reply, bool if_permit);
};

Topic Evaluation::topic_of(Stage stage) const {
  switch (stage) {
    case Stage::client:
      return client_topic();
    case Stage::helo:
      return helo_topic();
    case Stage::sender:
      return sender_topic();
    case Stage::relay:
    case Stage::recipient:
      return recipient_topic();
    case Stage::data:
      return {"DATA", kDataCommand};
    case Stage::end_of_data:
      return {"END-OF-MESSAGE", kEndOfData};
    case Stage::etrn:
      return {std::string(request.etrn_domain), kEtrnCommand};
  }
  return client_topic();
}

/// The request is refused later, if nothing refuses it for good before the end (or if something does).
Verdict Evaluation::deferred(Reply reply, bool if_permit) {
  if (only_warn) { return reject(std::move(reply)); }
  auto& slot = if_permit ? defer_if_permit : defer_if_reject;
  if (!slot) { slot = as_temporary(std::move(reply)); }
  return dunno();
}

net::Task<Verdict> Evaluation::apply(const Rules& rules, Scope scope) {
  if (scope.depth > kMaxDepth) {
    log::warning("restriction lists are nested more than {} deep", kMaxDepth);
    co_return reject(configuration_error());
  }
  bool warn = false;
  for (const Rule& rule : rules) {
    if (rule.check == Check::warn_if_reject) {
      warn = true;
      continue;
    }
    only_warn = warn;
    Verdict verdict = co_await apply_one(rule, scope);
    only_warn = false;
    if (verdict.kind == Verdict::Kind::reject && warn) {
      note("reject_warning", smtp::reply_for_log(verdict.reply));
      verdict = dunno();
    }
    warn = false;
    if (verdict.kind == Verdict::Kind::reject && defer_if_reject && verdict.reply.is_permanent()) {
      verdict.reply = *defer_if_reject;
    }
    if (verdict.kind != Verdict::Kind::dunno || effects.discard) { co_return verdict; }
  }
  co_return dunno();
}

net::Task<Verdict> Evaluation::apply_one(const Rule& rule, Scope scope) {
  switch (rule.check) {
    case Check::permit:
      co_return permit();
    case Check::reject:
      co_return reject(rejection(access().reject_code, "5.7.1", scope.topic, "Access denied"));
    case Check::defer:
      co_return reject(rejection(access().defer_code, "4.3.2", scope.topic, "Try again later"));
    case Check::defer_if_permit:
      co_return deferred(rejection(access().access_map_defer_code, "4.7.0", scope.topic, "defer_if_permit requested"),
                         true);
    case Check::defer_if_reject:
      co_return deferred(rejection(access().access_map_defer_code, "4.7.0", scope.topic, "defer_if_reject requested"),
                         false);
    case Check::sleep: {
      const auto seconds = text::parse_unsigned(rule.argument).value_or(0);
      co_await lookups.sleep(std::chrono::seconds(seconds));
      co_return dunno();
    }
    case Check::permit_mynetworks: {
      Verdict verdict = co_await in_networks();
      co_return verdict;
    }
    case Check::permit_inet_interfaces: {
      const auto own = co_await policy.local_domains.contains("[" + request.client.address + "]");
      co_return own && *own ? permit() : dunno();
    }
    case Check::permit_sasl_authenticated:
    case Check::permit_tls:
    case Check::ineffective:
    case Check::warn_if_reject:
      co_return dunno();
    case Check::sasl_only:
      log::warning("restriction `{}' ignored: no SASL support", rule.name);
      co_return dunno();
    case Check::reject_unknown_client_hostname:
    case Check::reject_unknown_reverse_client_hostname: {
      const bool reverse = rule.check == Check::reject_unknown_reverse_client_hostname;
      const dns::Status status = reverse ? request.client.reverse_status : request.client.name_status;
      if (status == dns::Status::found) { co_return dunno(); }
      const int code = status == dns::Status::temporary ? 450 : access().unknown_client_reject_code;
      co_return reject({.code = code,
                        .enhanced = code >= 500 ? "5.7.25" : "4.7.25",
                        .text = fmt::format("Client host rejected: cannot find your {}hostname, [{}]",
                                            reverse ? "reverse " : "", request.client.address)});
    }
    case Check::reject_plaintext_session:
      if (request.encrypted) { co_return dunno(); }
      co_return reject({.code = access().plaintext_reject_code,
                        .enhanced = access().plaintext_reject_code >= 500 ? "5.7.1" : "4.7.1",
                        .text = "Session encryption is required"});
    case Check::reject_unauth_pipelining:
      if (!request.improper_pipelining) { co_return dunno(); }
      co_return reject(rejection(503, "5.5.0", scope.topic, "Improper use of SMTP command pipelining"));
    case Check::reject_invalid_helo_hostname:
    case Check::reject_non_fqdn_helo_hostname:
      co_return helo_syntax(rule.check);
    case Check::reject_unknown_helo_hostname: {
      if (request.helo.empty()) { co_return dunno(); }
      Verdict verdict = co_await unknown_helo();
      co_return verdict;
    }
    case Check::reject_non_fqdn_sender:
      co_return non_fqdn_address(request.sender, sender_topic());
    case Check::reject_non_fqdn_recipient:
      co_return non_fqdn_address(request.recipient, recipient_topic());
    case Check::reject_unknown_sender_domain: {
      if (!request.sender || request.sender->empty()) { co_return dunno(); }
      Verdict verdict = co_await unknown_domain(std::string(*request.sender), sender_topic());
      co_return verdict;
    }
    case Check::reject_unknown_recipient_domain: {
      if (!request.recipient) { co_return dunno(); }
      Verdict verdict = co_await unknown_domain(std::string(*request.recipient), recipient_topic());
      co_return verdict;
    }
    case Check::reject_unlisted_sender: {
      if (!request.sender || request.sender->empty()) { co_return dunno(); }
      Verdict verdict = co_await unlisted("", std::string(*request.sender), sender_topic());
      co_return verdict;
    }
    case Check::reject_unlisted_recipient: {
      if (!request.recipient) { co_return dunno(); }
      unlisted_recipient_checked = true;
      Verdict verdict = co_await unlisted(std::string(request.sender.value_or("")), std::string(*request.recipient),
                                          recipient_topic());
      co_return verdict;
    }
    case Check::permit_auth_destination:
    case Check::reject_unauth_destination:
    case Check::defer_unauth_destination: {
      if (!request.recipient) { co_return dunno(); }
      Verdict verdict = co_await unauth_destination(rule);
      co_return verdict;
    }
    case Check::reject_multi_recipient_bounce:
      // RFC 5321 §4.5.5: mail from <> has one recipient. At RCPT nobody knows yet whether more will come.
      if (!request.sender || !request.sender->empty() || request.recipients < 2) { co_return dunno(); }
      co_return reject(
          rejection(access().multi_recipient_bounce_reject_code, "5.5.3", scope.topic, "Multi-recipient bounce"));
    case Check::client_access:
    case Check::reverse_client_access: {
      Verdict verdict = co_await look_up_client(rule, rule.check == Check::reverse_client_access, scope.depth);
      co_return verdict;
    }
    case Check::helo_access: {
      if (request.helo.empty()) { co_return dunno(); }
      Verdict verdict = co_await look_up(rule, maps::access_host_keys(request.helo, access().access_parents),
                                         helo_topic(), scope.depth);
      co_return verdict;
    }
    case Check::etrn_access: {
      if (request.etrn_domain.empty()) { co_return dunno(); }
      Verdict verdict = co_await look_up(rule, maps::access_host_keys(request.etrn_domain, access().access_parents),
                                         topic_of(Stage::etrn), scope.depth);
      co_return verdict;
    }
    case Check::sender_access: {
      if (!request.sender) { co_return dunno(); }
      Verdict verdict = co_await look_up_address(rule, std::string(*request.sender), sender_topic(), scope.depth);
      co_return verdict;
    }
    case Check::recipient_access: {
      if (!request.recipient) { co_return dunno(); }
      Verdict verdict = co_await look_up_address(rule, std::string(*request.recipient), recipient_topic(), scope.depth);
      co_return verdict;
    }
    case Check::restriction_class: {
      const auto found = policy.classes.find(rule.name);
      if (found == policy.classes.end()) { co_return reject(configuration_error()); }
      Scope inner{scope.topic, scope.depth + 1};
      Verdict verdict = co_await apply(found->second, std::move(inner));
      co_return verdict;
    }
    case Check::rbl_client:
    case Check::rhsbl_client:
    case Check::rhsbl_reverse_client:
    case Check::rhsbl_helo:
    case Check::rhsbl_sender:
    case Check::rhsbl_recipient:
    case Check::permit_dnswl_client:
    case Check::permit_rhswl_client:
      log::warning("restriction {} is not available", rule.name);
      co_return reject(configuration_error());
    case Check::bad:
      log::warning("{}", rule.argument);
      co_return reject(configuration_error());
  }
  co_return reject(configuration_error());
}

net::Task<Verdict> Evaluation::in_networks() {
  const auto matched = co_await policy.mynetworks.matches({request.client.name, request.client.address});
  if (!matched) {
    log::warning("{}", matched.error().message());
    co_return reject({.code = 451, .enhanced = "4.3.0", .text = "Temporary lookup failure"});
  }
  if (*matched && policy.old_defaults.mynetworks_style) {
    const auto anyway =
        co_await policy.old_defaults.host_networks.matches({request.client.name, request.client.address});
    if (anyway && !*anyway) {
      policy.old_defaults.say(fmt::format("mynetworks_style={} to permit request from client \"{}\"",
                                          policy.old_defaults.style, request.client.label));
    }
  }
  co_return *matched ? permit() : dunno();
}

Verdict Evaluation::helo_syntax(Check check) {
  if (request.helo.empty()) { return dunno(); }
  const std::string_view helo = request.helo;
  const bool literal = helo.starts_with('[');
  if (check == Check::reject_invalid_helo_hostname) {
    if (literal && !mail::parse_address_literal(helo)) {
      return reject(rejection(access().invalid_hostname_reject_code, "5.5.2", helo_topic(), "invalid ip address"));
    }
    if (!literal && !mail::is_valid_hostname(helo) && !mail::is_ip_address(helo)) {
      return reject(rejection(access().invalid_hostname_reject_code, "5.5.2", helo_topic(), "Invalid name"));
    }
    return dunno();
  }
  if (literal ? mail::parse_address_literal(helo).has_value() : mail::is_fqdn(helo)) { return dunno(); }
  return reject(rejection(access().non_fqdn_reject_code, "5.5.2", helo_topic(), "need fully-qualified hostname"));
}

Verdict Evaluation::non_fqdn_address(std::optional<std::string_view> address, const Topic& topic) const {
  if (!address || address->empty()) { return dunno(); }
  const std::size_t at = address->rfind('@');
  const std::string_view domain = at == std::string_view::npos ? std::string_view{} : address->substr(at + 1);
  if (domain.starts_with('[') || mail::is_fqdn(domain)) { return dunno(); }
  // RFC 5321 §4.5.1: "postmaster" needs no domain.
  if (at == std::string_view::npos && text::iequals(*address, "postmaster")) { return dunno(); }
  return reject(rejection(access().non_fqdn_reject_code, "5.5.2", topic, "need fully-qualified address"));
}

net::Task<Verdict> Evaluation::unknown_helo() {
  std::string name(request.helo);
  if (name.starts_with('[') || mail::is_ip_address(name)) { co_return dunno(); }
  const auto mx = co_await lookups.dns(name, dns::Type::mx);
  if (mx.status == dns::Status::found) { co_return dunno(); }
  const auto a = co_await lookups.dns(name, dns::Type::a);
  if (a.status == dns::Status::found) { co_return dunno(); }
  const auto aaaa = co_await lookups.dns(name, dns::Type::aaaa);
  if (aaaa.status == dns::Status::found) { co_return dunno(); }
  const bool temporary = mx.status == dns::Status::temporary || a.status == dns::Status::temporary ||
                         aaaa.status == dns::Status::temporary;
  if (temporary) {
    Reply reply = rejection(450, "4.7.1", helo_topic(), "Host not found");
    co_return access().unknown_helo_tempfail_if_permit ? deferred(std::move(reply), true) : reject(std::move(reply));
  }
  co_return reject(rejection(access().unknown_hostname_reject_code, "4.7.1", helo_topic(), "Host not found"));
}

net::Task<Verdict> Evaluation::unknown_domain(std::string address, Topic topic) {
  const bool is_sender = topic.kind == kSenderAddress;
  const auto resolved =
      co_await lookups.resolve(is_sender ? std::string() : std::string(request.sender.value_or("")), address);
  if (!resolved || resolved->outcome == ResolveReply::Outcome::retry) { co_return reject(lookup_failure(address)); }
  if (resolved->address_class != AddressClass::other && resolved->address_class != AddressClass::relay) {
    co_return dunno();
  }
  const std::size_t at = resolved->recipient.rfind('@');
  std::string domain = at == std::string::npos ? std::string() : resolved->recipient.substr(at + 1);
  if (domain.empty() || domain.starts_with('[')) { co_return dunno(); }
  const auto mx = co_await lookups.dns(domain, dns::Type::mx);
  // RFC 7505: a single MX "." says that the domain takes no mail.
  if (mx.status == dns::Status::found && mx.records.size() == 1 && mx.records.front().value.empty()) {
    const std::string text = fmt::format("Domain {} does not accept mail (nullMX)", domain);
    co_return reject(is_sender ? rejection(550, "5.7.27", topic, text) : rejection(556, "5.1.10", topic, text));
  }
  if (mx.status == dns::Status::found) { co_return dunno(); }
  const auto a = co_await lookups.dns(domain, dns::Type::a);
  if (a.status == dns::Status::found) { co_return dunno(); }
  const auto aaaa = co_await lookups.dns(domain, dns::Type::aaaa);
  if (aaaa.status == dns::Status::found) { co_return dunno(); }
  const std::string_view enhanced = is_sender ? "4.1.8" : "4.1.2";
  if (mx.status == dns::Status::temporary || a.status == dns::Status::temporary ||
      aaaa.status == dns::Status::temporary) {
    Reply reply = rejection(450, enhanced, topic, "Domain not found");
    co_return access().unknown_address_tempfail_if_permit ? deferred(std::move(reply), true) : reject(std::move(reply));
  }
  if (mx.status == dns::Status::invalid) {
    co_return reject(rejection(access().unknown_address_reject_code, enhanced, topic, "Malformed DNS server reply"));
  }
  co_return reject(rejection(access().unknown_address_reject_code, enhanced, topic, "Domain not found"));
}

net::Task<Verdict> Evaluation::unauth_destination(const Rule& rule) {
  std::string recipient(*request.recipient);
  const auto resolved = co_await lookups.resolve(std::string(request.sender.value_or("")), recipient);
  if (!resolved || resolved->outcome == ResolveReply::Outcome::retry) {
    if (!resolved) { log::warning("{}", resolved.error().message()); }
    if (rule.check == Check::permit_auth_destination) { co_return dunno(); }
    co_return reject(lookup_failure(recipient));
  }
  const bool ours = resolved->outcome == ResolveReply::Outcome::ok && !resolved->routed &&
                    resolved->address_class != AddressClass::other;
  if (ours && resolved->address_class == AddressClass::relay && policy.old_defaults.relay_domains) {
    policy.old_defaults.say(fmt::format("relay_domains=$mydestination to accept mail for domain \"{}\"",
                                        resolved->recipient.substr(resolved->recipient.rfind('@') + 1)));
  }
  if (rule.check == Check::permit_auth_destination) { co_return ours ? permit() : dunno(); }
  if (ours) { co_return dunno(); }
  const int code = access().relay_domains_reject_code;
  Reply reply{.code = code,
              .enhanced = code >= 500 ? "5.7.1" : "4.7.1",
              .text = fmt::format("<{}>: Relay access denied", recipient)};
  if (rule.check == Check::defer_unauth_destination) { reply = as_temporary(std::move(reply)); }
  co_return reject(std::move(reply));
}

net::Task<Verdict> Evaluation::unlisted(std::string sender, std::string address, Topic topic) {
  auto resolved = co_await lookups.resolve(std::move(sender), address);
  if (!resolved || resolved->outcome == ResolveReply::Outcome::retry) {
    if (!resolved) { log::warning("{}", resolved.error().message()); }
    co_return reject(lookup_failure(address));
  }
  const bool relayed = resolved->address_class == AddressClass::relay;
  const auto unknown = co_await policy.known.check(std::move(*resolved));
  if (!unknown) {
    log::warning("{}", unknown.error().message());
    co_return reject(lookup_failure(address));
  }
  if (!*unknown) {
    if (relayed && policy.old_defaults.relay_domains && topic.kind == kRecipientAddress) {
      policy.old_defaults.say(fmt::format("relay_domains=$mydestination to accept mail for address \"{}\"", address));
    }
    co_return dunno();
  }
  const UnknownAddress& why = **unknown;
  std::string enhanced = why.enhanced;
  if (enhanced.empty()) { enhanced = topic.kind == kSenderAddress ? "5.1.0" : "5.1.1"; }
  co_return reject(rejection(why.code, enhanced, topic, why.text));
}

net::Task<Verdict> Evaluation::look_up_client(const Rule& rule, bool reverse, int depth) {
  const std::string& name = reverse ? request.client.reverse_name : request.client.name;
  maps::LookupKeys keys = maps::access_host_keys(name, access().access_parents);
  if (!reverse) { std::ranges::move(maps::access_network_keys(request.client.address), std::back_inserter(keys)); }
  Verdict verdict = co_await look_up(rule, std::move(keys), client_topic(), depth);
  co_return verdict;
}

net::Task<Verdict> Evaluation::look_up_address(const Rule& rule, std::string address, Topic topic, int depth) {
  maps::LookupKeys keys;
  if (address.empty()) {
    keys.push_back({.text = access().null_access_lookup_key});
  } else {
    const bool is_sender = topic.kind == kSenderAddress;
    const auto resolved =
        co_await lookups.resolve(is_sender ? std::string() : std::string(request.sender.value_or("")), address);
    if (!resolved || resolved->outcome == ResolveReply::Outcome::retry) { co_return reject(lookup_failure(address)); }
    keys = maps::access_address_keys(resolved->recipient, access().extension, access().access_parents);
  }
  Verdict verdict = co_await look_up(rule, std::move(keys), std::move(topic), depth);
  co_return verdict;
}

net::Task<Verdict> Evaluation::look_up(const Rule& rule, maps::LookupKeys keys, Topic topic, int depth) {
  auto found = co_await rule.table->find(keys);
  if (!found) {
    log::warning("{}", found.error().message());
    co_return reject(rejection(451, "4.3.5", topic, kConfigurationError));
  }
  if (!*found) { co_return dunno(); }
  std::string key = keys.at((*found)->key_index).text;
  Verdict verdict = co_await table_action(rule, std::move(key), std::move((*found)->value), std::move(topic), depth);
  co_return verdict;
}

/// "550 5.1.1 text": at least one digit is at the start. All digits mean OK.
Verdict Evaluation::numeric_action(std::string_view value, const Topic& topic) {
  if (std::ranges::all_of(value, text::is_digit)) { return permit(); }
  if (value.size() < 4 || (value[0] != '4' && value[0] != '5') || !text::is_digit(value[1]) ||
      !text::is_digit(value[2]) || !text::is_space(value[3])) {
    log::warning("bad SMTP reply code in access table: \"{}\"", value.substr(0, 100));
    return reject(configuration_error());
  }
  const int code = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
  const dsn::Status status = dsn::split_status(text::trim(value.substr(4)), code < 500 ? "4.7.1" : "5.7.1");
  const std::string fitted = fit_status(status.code, topic.kind);
  if (fitted != status.code) { log::info("mapping DSN status {} into {} status {}", status.code, topic.kind, fitted); }
  return reject(rejection(code, fitted, topic, status.text.empty() ? "Access denied" : std::string_view(status.text)));
}

net::Task<Verdict> Evaluation::table_action(const Rule& rule, std::string key, std::string value, Topic topic,
                                            int depth) {
  const std::string_view all = text::trim(value);
  const std::string_view word = all.substr(0, all.find_first_of(" \t"));
  const std::string_view rest = text::trim(all.substr(word.size()));
  const auto is = [&](std::string_view name) { return text::iequals(word, name); };
  const auto with_text = [&](int code, std::string_view enhanced, std::string_view fallback) {
    const dsn::Status status = dsn::split_status(rest, enhanced);
    return rejection(code, fit_status(dsn::with_class(status.code, static_cast<char>('0' + code / 100)), topic.kind),
                     topic, status.text.empty() ? fallback : std::string_view(status.text));
  };
  const auto triggers = [&](std::string_view what) { return fmt::format("<{}>: {} {}", topic.name, topic.kind, what); };
  const auto broken = [&](std::string_view what) {
    log::warning("access table {} entry \"{}\" requires {}", rule.argument, key, what);
    return dunno();
  };
  if (is("OK") || is("RELAY")) { co_return permit(); }
  if (is("DUNNO")) { co_return dunno(); }
  if (!word.empty() && text::is_digit(word.front())) { co_return numeric_action(all, topic); }
  if (is("REJECT")) { co_return reject(with_text(access().access_map_reject_code, "5.7.1", "Access denied")); }
  if (is("DEFER")) { co_return reject(with_text(access().access_map_defer_code, "4.7.1", "Access denied")); }
  if (is("DEFER_IF_PERMIT")) {
    co_return deferred(with_text(access().access_map_defer_code, "4.7.1", "Service unavailable"), true);
  }
  if (is("DEFER_IF_REJECT")) {
    co_return deferred(with_text(access().access_map_defer_code, "4.7.1", "Service unavailable"), false);
  }
  if (is("WARN") || is("INFO")) {
    note(is("WARN") ? "warn" : "info", std::string(rest));
    co_return dunno();
  }
  if (is("HOLD")) {
    if (!effects.hold) { note("hold", triggers(rest.empty() ? "triggers HOLD action" : rest)); }
    effects.hold = true;
    co_return dunno();
  }
  if (is("DISCARD")) {
    note("discard", triggers(rest.empty() ? "triggers DISCARD action" : rest));
    effects.discard = true;
    co_return permit();
  }
  if (is("FILTER")) {
    if (rest.find(':') == std::string_view::npos) { co_return broken("transport:destination"); }
    note("filter", triggers(fmt::format("triggers FILTER {}", rest)));
    effects.filter = rest;
    co_return dunno();
  }
  if (is("REDIRECT") || is("BCC")) {
    if (rest.find('@') == std::string_view::npos) { co_return broken("user@domain target"); }
    if (is("BCC")) {
      note("bcc", triggers(fmt::format("triggers BCC {}", rest)));
      effects.bcc.emplace_back(rest);
    } else {
      note("redirect", triggers(fmt::format("triggers REDIRECT {}", rest)));
      effects.redirect = rest;
    }
    co_return dunno();
  }
  if (is("PREPEND")) {
    const std::size_t colon = rest.find(':');
    if (colon == 0 || colon == std::string_view::npos ||
        rest.substr(0, colon).find_first_of(" \t") != std::string_view::npos) {
      co_return broken("header: text");
    }
    effects.prepend.emplace_back(rest);
    co_return dunno();
  }
  // Anything else is a list of restrictions, with the tables that the configuration names.
  const FindTable table = [tables = policy.tables.get()](std::string_view name) { return tables->find(name); };
  const Rules rules = parse_rules(config::split_list(all), Stage::recipient, policy.class_names, table);
  Scope inner{std::move(topic), depth + 1};
  Verdict verdict = co_await apply(rules, std::move(inner));
  co_return verdict;
}

/// Nothing limited relaying (smtpd_relay_restrictions is empty), where its default now would.
net::Task<> remind_of_relaying(Evaluation& evaluation) {
  const OldDefaults& old = evaluation.policy.old_defaults;
  Scope scope{evaluation.recipient_topic(), 0};
  const Verdict verdict = co_await evaluation.apply(old.default_relay_rules, std::move(scope));
  if (verdict.kind != Verdict::Kind::reject || verdict.reply.enhanced == "4.3.0") { co_return; }
  old.say(
      fmt::format("\"smtpd_relay_restrictions = (empty)\" to avoid \"Relay access denied\" error for recipient "
                  "\"{}\" from client \"{}\"",
                  evaluation.request.recipient.value_or(""), evaluation.request.client.label));
}

}  // namespace

net::Task<std::optional<Reply>> check_access(const Policy& policy, Lookups& lookups, AccessRequest request,
                                             std::vector<Stage> stages, AccessEffects& effects,
                                             const AccessNote& note) {
  if (effects.discard) { co_return std::nullopt; }
  Evaluation evaluation{.policy = policy, .lookups = lookups, .request = request, .effects = effects, .note = note};
  bool recipient_stage = false;
  for (const Stage stage : stages) {
    recipient_stage = recipient_stage || stage == Stage::recipient;
    // A list about something that was not said is skipped: HELO restrictions without HELO.
    if (stage == Stage::helo && request.helo.empty()) { continue; }
    Scope scope{evaluation.topic_of(stage), 0};
    Verdict verdict = co_await evaluation.apply(policy.list(stage), std::move(scope));
    if (verdict.kind == Verdict::Kind::reject) {
      if (stage == Stage::recipient && policy.old_defaults.relay_before_recipient) {
        effects.reminder =
            fmt::format("smtpd_relay_before_recipient_restrictions=no to reject recipient \"{}\" from client \"{}\"",
                        request.recipient.value_or(""), request.client.label);
      }
      co_return std::move(verdict.reply);
    }
    if (effects.discard) { co_return std::nullopt; }
    if (stage == Stage::relay && policy.old_defaults.relay_restrictions) { co_await remind_of_relaying(evaluation); }
    if (stage == Stage::sender && policy.access.reject_unlisted_sender && request.sender && !request.sender->empty()) {
      Verdict unlisted = co_await evaluation.unlisted("", std::string(*request.sender), evaluation.sender_topic());
      if (unlisted.kind == Verdict::Kind::reject) { co_return std::move(unlisted.reply); }
    }
  }
  if (recipient_stage && policy.access.reject_unlisted_recipient && !evaluation.unlisted_recipient_checked) {
    Verdict verdict = co_await evaluation.unlisted(std::string(request.sender.value_or("")),
                                                   std::string(*request.recipient), evaluation.recipient_topic());
    if (verdict.kind == Verdict::Kind::reject) { co_return std::move(verdict.reply); }
  }
  co_return std::move(evaluation.defer_if_permit);
}

net::Task<bool> is_permitted(const Policy& policy, Lookups& lookups, AccessRequest request, const Rules& rules) {
  AccessEffects effects;
  const AccessNote quiet = [](std::string_view, std::string) {};
  Evaluation evaluation{.policy = policy, .lookups = lookups, .request = request, .effects = effects, .note = quiet};
  Scope scope{evaluation.client_topic(), 0};
  const Verdict verdict = co_await evaluation.apply(rules, std::move(scope));
  co_return verdict.kind == Verdict::Kind::permit;
}

net::Task<std::optional<Reply>> check_listed_recipient(const Policy& policy, Lookups& lookups, std::string sender,
                                                       std::string recipient) {
  const Client nobody;
  AccessEffects effects;
  const AccessNote quiet = [](std::string_view, std::string) {};
  Evaluation evaluation{.policy = policy,
                        .lookups = lookups,
                        .request = AccessRequest{.client = nobody, .recipient = recipient},
                        .effects = effects,
                        .note = quiet};
  Verdict verdict = co_await evaluation.unlisted(std::move(sender), recipient, evaluation.recipient_topic());
  if (verdict.kind != Verdict::Kind::reject) { co_return std::nullopt; }
  co_return std::move(verdict.reply);
}

}  // namespace stagepost::smtpd
