// The domain lists and tables that resolving needs, opened once per process; they notice changed files by themselves.
#pragma once

#include <map>
#include <string>

#include "config/snapshot.hpp"
#include "maps/chain.hpp"
#include "maps/local_domains.hpp"
#include "maps/match_list.hpp"
#include "services/trivial_rewrite/resolver.hpp"

namespace stagepost::trivial_rewrite {

/// Which names of the tables: as for mail, or the address_verify_* ones.
enum class Purpose : std::uint8_t { mail, verify };

class Tables final : public Lookups {
 public:
  /// Error: unbalanced braces, a table without a type. A table that cannot be opened fails its look-ups instead.
  [[nodiscard]] static Result<std::unique_ptr<Tables>> create(config::SnapshotPtr config, Purpose purpose,
                                                              const maps::OpenContext& context);

  net::Task<Result<bool>> is_local(std::string domain) override;
  net::Task<Result<bool>> is_virtual_alias(std::string domain) override;
  net::Task<Result<bool>> is_virtual_mailbox(std::string domain) override;
  net::Task<Result<bool>> is_relay(std::string domain) override;
  net::Task<Answer> transport(std::string address) override;
  net::Task<Answer> relocated(std::string address, bool local) override;
  net::Task<Answer> sender_relayhost(std::string key) override;
  net::Task<Answer> sender_transport(std::string key) override;
  void in_both(std::string_view domain, std::string_view first, std::string_view second) override;

 private:
  explicit Tables(config::SnapshotPtr config) : config_(std::move(config)) {}
  [[nodiscard]] net::Task<Result<bool>> listed(const maps::MatchList& list, std::string domain) const;
  [[nodiscard]] net::Task<Answer> look_up(const maps::Chain& chain, std::string_view parameter,
                                          maps::LookupKeys keys) const;

  config::SnapshotPtr config_;
  bool helpful_warnings_ = true;
  maps::LocalDomains local_domains_;
  maps::MatchList virtual_alias_domains_;
  maps::MatchList virtual_mailbox_domains_;
  maps::MatchList relay_domains_;
  maps::Chain transport_maps_;
  maps::Chain relocated_maps_;
  maps::Chain sender_relayhost_maps_;
  maps::Chain sender_transport_maps_;
  maps::ExtensionRule extensions_;
  maps::ParentStyle transport_parents_ = maps::ParentStyle::dotted;
  std::map<std::string, SteadyClock::time_point> warned_;  // texts of in_both, each once in a while
};

/// The rules that go with it.
[[nodiscard]] ResolverRules read_rules(const config::Snapshot& config, Purpose purpose);

}  // namespace stagepost::trivial_rewrite
