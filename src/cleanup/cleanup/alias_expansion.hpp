// Envelope recipients through virtual_alias_maps (virtual(5)): rewriting, look-up, recursion, extensions, limits.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "cleanup/cleanup/settings.hpp"
#include "clients/rewrite.hpp"
#include "mail/dsn.hpp"
#include "maps/chain.hpp"
#include "maps/local_domains.hpp"

namespace stagepost::cleanup {

/// What alias expansion asks of the world; a test gives its own.
class AliasLookup {
 public:
  virtual ~AliasLookup() = default;
  /// Addresses (external form, comma separated) for an address in internal form, or nothing.
  struct Hit {
    std::string addresses;
    std::string unmatched_extension;
  };
  [[nodiscard]] virtual net::Task<Result<std::optional<Hit>>> find(std::string address) = 0;
  /// Standard form of an external address (trivial-rewrite, local context); the result is external too.
  [[nodiscard]] virtual net::Task<Result<std::string>> rewrite(std::string external) = 0;
};

struct AliasFailure {
  dsn::Status status;  ///< for the SMTP client
  std::string log;     ///< for the log, without the queue ID
};

/// The final addresses (internal form) for one address (internal form), duplicates kept, in table order. An address
/// that is not in the table stands for itself; one that expands to itself stays. At most
/// virtual_alias_expansion_limit addresses and virtual_alias_recursion_limit steps: beyond them, or when a table
/// fails, the failure is temporary.
[[nodiscard]] net::Task<std::expected<std::vector<std::string>, AliasFailure>> expand_alias(AliasLookup& lookup,
                                                                                            const Settings& settings,
                                                                                            std::string address);

/// Look-ups in the configured tables.
class TableAliasLookup final : public AliasLookup {
 public:
  TableAliasLookup(const Settings& settings, clients::RewriteClient& rewrite, const maps::Chain& virtual_alias_maps,
                   const maps::LocalDomains& local_domains)
      : settings_(settings), rewrite_(rewrite), tables_(virtual_alias_maps), local_(local_domains) {}
  [[nodiscard]] net::Task<Result<std::optional<Hit>>> find(std::string address) override;
  [[nodiscard]] net::Task<Result<std::string>> rewrite(std::string external) override;

 private:
  const Settings& settings_;
  clients::RewriteClient& rewrite_;
  const maps::Chain& tables_;
  const maps::LocalDomains& local_;
};

/// True when rewriting cannot change the address: a plain dot-atom at a plain dotted domain, no routing characters.
/// Saves the question to trivial-rewrite for nearly every address of real mail.
[[nodiscard]] bool is_canonical(std::string_view external);

}  // namespace stagepost::cleanup
