// One recipient of a delivery request: expands it through aliases, ~/.forward and :include: files, delivers to each
// destination, and settles the recipient in the queue file. The methods are spread over recipient_delivery.cpp
// (addresses and recursion), alias.cpp, forward_file.cpp and mailbox.cpp.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "clients/rewrite.hpp"
#include "delivery/local/accounts.hpp"
#include "delivery/local/destination.hpp"
#include "delivery/local/destination_file.hpp"
#include "delivery/local/forwarding.hpp"
#include "delivery/local/names.hpp"
#include "delivery/local/settings.hpp"
#include "delivery/local/transports.hpp"

namespace stagepost::local {

/// What all recipients of a process share.
struct Agent {
  net::EventLoop& loop;
  const Settings& settings;
  clients::RewriteClient& rewrite;
  clients::CleanupClient& cleanup;
  Transports& transports;
};

class RecipientDelivery {
 public:
  RecipientDelivery(const Agent& agent, delivery::Attempt& attempt, clients::RecipientRecord recipient);
  RecipientDelivery(const RecipientDelivery&) = delete;
  RecipientDelivery& operator=(const RecipientDelivery&) = delete;

  /// Everything, up to the mark in the queue file.
  [[nodiscard]] net::Task<> run();

 private:
  using Kind = delivery::Kind;
  using Outcome = delivery::Outcome;

  /// What changes from one level of expansion to the next.
  struct Scope {
    clients::RecipientRecord recipient;  ///< as logged and reported
    std::string sender;                  ///< the owner's, below an owner- alias
    std::string delivered_to;            ///< for Delivered-To:
    bool has_owner = false;              ///< below an owner- alias
    bool resubmit = false;               ///< users get a new message: below an owner- alias or an :include: file
    Source source = Source::recipient;   ///< where the destination was read ...
    std::string alias;                   ///< ... and, of aliases, under which name
    std::vector<std::string> forwards;   ///< local-parts whose ~/.forward are being expanded
    std::optional<Account> rights;       ///< whose destinations these are; none: default_privs
    std::string extension;               ///< not matched on the way here, with its delimiter
    unsigned depth = 0;                  ///< aliases and :include: files above
    bool by_luser_relay = false;
  };
  /// A local recipient taken apart.
  struct LocalName {
    Names names;
    std::string local;      ///< lower case
    std::string delimiter;  ///< before the extension; empty: no extension
    bool illegal_extension = false;
  };
  [[nodiscard]] LocalName local_name(const Scope& scope) const;
  /// A user named in the own ~/.forward, or one that it leads to, wants the mailbox.
  [[nodiscard]] static bool in_own_forward(const Scope& scope, const LocalName& name) {
    return std::ranges::find(scope.forwards, name.local) != scope.forwards.end();
  }

  // recipient_delivery.cpp
  [[nodiscard]] net::Task<Kind> deliver_local(Scope scope);
  [[nodiscard]] net::Task<Kind> deliver_destinations(Scope scope, std::vector<Destination> destinations);
  [[nodiscard]] net::Task<Kind> deliver_destination(const Scope& scope, Destination destination);
  [[nodiscard]] net::Task<Kind> deliver_address(const Scope& scope, std::string external);
  [[nodiscard]] net::Task<Kind> forward(const Scope& scope);
  [[nodiscard]] net::Task<Kind> finish_forwarding();
  [[nodiscard]] net::Task<Kind> note(const Scope& scope, Outcome outcome);
  [[nodiscard]] net::Task<Kind> note(const Scope& scope, Kind kind, std::string code, std::string text);
  [[nodiscard]] Result<bool> was_delivered_to(const std::string& address);
  [[nodiscard]] bool seen_before(std::string key);
  [[nodiscard]] bool propagates(Source source) const;
  [[nodiscard]] bool probing() const { return (attempt_.request().flags & delivery::kProbe) != 0; }

  // alias.cpp
  [[nodiscard]] net::Task<std::optional<Kind>> deliver_alias(const Scope& scope);
  [[nodiscard]] net::Task<Result<std::optional<std::string>>> owner_of(std::string alias);
  [[nodiscard]] net::Task<Result<std::string>> rewrite_internal(std::string external);

  // forward_file.cpp
  [[nodiscard]] net::Task<std::optional<Kind>> deliver_forward_file(const Scope& scope, const LocalName& name,
                                                                    const Account& account);
  [[nodiscard]] net::Task<Kind> deliver_include(const Scope& scope, const std::string& path);
  [[nodiscard]] net::Task<Scope> expanded(const Scope& scope);
  [[nodiscard]] DestinationFileLimits file_limits() const;

  // mailbox.cpp
  [[nodiscard]] net::Task<Kind> deliver_user(const Scope& scope);
  [[nodiscard]] net::Task<std::optional<Kind>> deliver_transport(const Scope& scope, const std::string& user,
                                                                 const maps::Chain& maps, std::string otherwise);
  [[nodiscard]] net::Task<Kind> deliver_mailbox(const Scope& scope, const LocalName& name, const Account& account);
  [[nodiscard]] net::Task<Kind> deliver_unknown(const Scope& scope, const LocalName& name);
  [[nodiscard]] net::Task<Kind> deliver_command(const Scope& scope, const LocalName& name, std::string command);
  [[nodiscard]] net::Task<Kind> deliver_file(const Scope& scope, std::string path);
  [[nodiscard]] Outcome write_mailbox(const Scope& scope, const std::string& path, const Account& account,
                                      bool system_spool);
  [[nodiscard]] delivery::Identity command_rights(const Scope& scope) const;
  [[nodiscard]] std::vector<std::string> fields_in_front(const Scope& scope, bool from_line, bool delivered_to) const;

  const Agent& agent_;
  const Settings& settings_;
  delivery::Attempt& attempt_;
  const config::Snapshot& config_;
  clients::RecipientRecord recipient_;
  Forwarding forwarding_;
  std::unordered_set<std::string> seen_;
  std::size_t steps_ = 0;       // destinations
  std::size_t expansions_ = 0;  // aliases and :include: files
};

/// Deferred wins, so that nothing of the recipient is lost.
[[nodiscard]] constexpr delivery::Kind worst(delivery::Kind a, delivery::Kind b) {
  return a == delivery::Kind::deferred ? a : b;
}

}  // namespace stagepost::local
