#include "services/trivial_rewrite/tables.hpp"

#include "log/log.hpp"
#include "maps/context.hpp"

namespace stagepost::trivial_rewrite {
namespace {

constexpr std::chrono::minutes kWarnAgain{1};
constexpr std::size_t kWarningsKept = 1000;

std::string name_for(Purpose purpose, std::string_view parameter) {
  return (purpose == Purpose::verify ? "address_verify_" : "") + std::string(parameter);
}

}  // namespace

Result<std::unique_ptr<Tables>> Tables::create(config::SnapshotPtr snapshot, Purpose purpose,
                                               const maps::OpenContext& context) {
  const config::Snapshot& config = *snapshot;
  std::unique_ptr<Tables> tables(new Tables(std::move(snapshot)));
  SP_TRY(tables->local_domains_, maps::LocalDomains::create(config, context));

  const std::string& parents = config.text("parent_domain_matches_subdomains");
  const auto domains = [&](std::string_view parameter) {
    return maps::MatchList::create(
        parameter, config.text(parameter),
        {.style = maps::MatchStyle::domains, .parents = maps::parent_style(parents, parameter)}, context);
  };
  SP_TRY(tables->virtual_alias_domains_, domains("virtual_alias_domains"));
  SP_TRY(tables->virtual_mailbox_domains_, domains("virtual_mailbox_domains"));
  SP_TRY(tables->relay_domains_, domains("relay_domains"));

  // $1 in a result that chooses a program or host would let the sender choose it.
  maps::OpenContext strict = context;
  strict.substitution = maps::Substitution::forbidden;
  const auto chain = [&](const std::string& parameter) {
    return maps::Chain::open(parameter, config.text(parameter), strict);
  };
  SP_TRY(tables->transport_maps_, chain(name_for(purpose, "transport_maps")));
  SP_TRY(tables->sender_relayhost_maps_, chain(name_for(purpose, "sender_dependent_relayhost_maps")));
  SP_TRY(tables->sender_transport_maps_, chain(name_for(purpose, "sender_dependent_default_transport_maps")));
  SP_TRY(tables->relocated_maps_, maps::Chain::open("relocated_maps", config.text("relocated_maps"), context));

  tables->extensions_ = maps::extension_rule(config);
  tables->transport_parents_ = maps::parent_style(parents, "transport_maps");
  tables->helpful_warnings_ = config.boolean("helpful_warnings");
  return tables;
}

net::Task<Result<bool>> Tables::is_local(std::string domain) {
  auto local = co_await local_domains_.contains(std::move(domain));
  if (!local) { log::warning("{}", local.error().message()); }
  co_return local;
}

net::Task<Result<bool>> Tables::is_virtual_alias(std::string domain) {
  return listed(virtual_alias_domains_, std::move(domain));
}

net::Task<Result<bool>> Tables::is_virtual_mailbox(std::string domain) {
  return listed(virtual_mailbox_domains_, std::move(domain));
}

net::Task<Result<bool>> Tables::is_relay(std::string domain) { return listed(relay_domains_, std::move(domain)); }

net::Task<Result<bool>> Tables::listed(const maps::MatchList& list, std::string domain) const {
  if (list.empty()) { co_return false; }
  maps::MatchList::Subject subject;
  subject.name = std::move(domain);
  auto answer = list.matches_now(subject);
  if (!answer) {
    auto later = co_await list.matches(std::move(subject));
    answer.emplace(std::move(later));
  }
  if (!*answer) { log::warning("{}", answer->error().message()); }
  co_return *std::move(answer);
}

net::Task<Lookups::Answer> Tables::look_up(const maps::Chain& chain, std::string_view parameter,
                                           maps::LookupKeys keys) const {
  if (chain.empty()) { co_return std::nullopt; }
  std::optional<maps::Chain::Answer> answer = chain.find_now(keys);
  if (!answer) {
    auto later = co_await chain.find(std::move(keys));
    answer.emplace(std::move(later));
  }
  if (!*answer) {
    log::warning("{}", answer->error().message());
    log::warning("{} lookup failure", parameter);
    co_return std::unexpected(answer->error());
  }
  if (!**answer) { co_return std::nullopt; }
  co_return std::move((**answer)->value);
}

net::Task<Lookups::Answer> Tables::transport(std::string address) {
  maps::LookupKeys keys;
  if (!transport_maps_.empty()) { keys = maps::transport_keys(address, extensions_, transport_parents_); }
  return look_up(transport_maps_, "transport_maps", std::move(keys));
}

net::Task<Lookups::Answer> Tables::relocated(std::string address, bool local) {
  maps::LookupKeys keys;
  if (!relocated_maps_.empty()) {
    keys = maps::address_keys(address, extensions_, local ? maps::Site::local : maps::Site::other);
  }
  return look_up(relocated_maps_, "relocated_maps", std::move(keys));
}

net::Task<Lookups::Answer> Tables::sender_relayhost(std::string key) {
  maps::LookupKeys keys;
  keys.push_back({.text = std::move(key)});
  return look_up(sender_relayhost_maps_, "sender_dependent_relayhost_maps", std::move(keys));
}

net::Task<Lookups::Answer> Tables::sender_transport(std::string key) {
  maps::LookupKeys keys;
  keys.push_back({.text = std::move(key)});
  return look_up(sender_transport_maps_, "sender_dependent_default_transport_maps", std::move(keys));
}

void Tables::in_both(std::string_view domain, std::string_view first, std::string_view second) {
  if (!helpful_warnings_) { return; }
  std::string text = fmt::format("do not list domain {} in BOTH {} and {}", domain, first, second);
  const auto now = SteadyClock::now();
  const auto known = warned_.find(text);
  if (known != warned_.end() && now - known->second < kWarnAgain) { return; }
  log::warning("{}", text);
  if (warned_.size() >= kWarningsKept) { warned_.clear(); }
  warned_.insert_or_assign(std::move(text), now);
}

ResolverRules read_rules(const config::Snapshot& config, Purpose purpose) {
  ResolverRules rules;
  rules.routing = {.swap_bangpath = config.boolean("swap_bangpath"),
                   .allow_percent_hack = config.boolean("allow_percent_hack"),
                   .resolve_dequoted_address = config.boolean("resolve_dequoted_address"),
                   .resolve_null_domain = config.boolean("resolve_null_domain"),
                   .resolve_numeric_domain = config.boolean("resolve_numeric_domain"),
                   .myhostname = config.text("myhostname"),
                   .empty_address_recipient = config.text("empty_address_recipient"),
                   .is_local_domain = {}};
  rules.myhostname = config.text("myhostname");
  rules.local_transport = config.text(name_for(purpose, "local_transport"));
  rules.virtual_transport = config.text(name_for(purpose, "virtual_transport"));
  rules.relay_transport = config.text(name_for(purpose, "relay_transport"));
  rules.default_transport = config.text(name_for(purpose, "default_transport"));
  rules.relayhost = config.text(name_for(purpose, "relayhost"));
  rules.error_transport = config.text("error_service_name");
  rules.null_sender_relayhost_key = config.text("empty_address_relayhost_maps_lookup_key");
  rules.null_sender_transport_key = config.text("empty_address_default_transport_maps_lookup_key");
  rules.show_user_unknown_table_name = config.boolean("show_user_unknown_table_name");
  return rules;
}

}  // namespace stagepost::trivial_rewrite
