// Which mailbox, user and group a recipient of a virtual mailbox domain has (virtual(8)).
#pragma once

#include <expected>
#include <string>

#include "config/snapshot.hpp"
#include "delivery/attempt.hpp"
#include "delivery/identity.hpp"
#include "maps/chain.hpp"
#include "maps/lookup_order.hpp"

namespace stagepost::virtual_agent {

struct Mailbox {
  std::string path;      ///< virtual_mailbox_base / table value; without a Maildir's trailing '/'
  bool maildir = false;  ///< the value ended in '/'
  delivery::Identity identity;
};

class MailboxLookup {
 public:
  [[nodiscard]] static Result<MailboxLookup> create(const config::Snapshot& config, maps::OpenContext context);
  /// The mailbox, or the outcome when there is none: unknown user (bounce), table failure or a bad id (defer).
  [[nodiscard]] net::Task<std::expected<Mailbox, delivery::Outcome>> find(std::string address) const;

 private:
  [[nodiscard]] net::Task<std::expected<long, delivery::Outcome>> find_id(const maps::Chain& chain,
                                                                          maps::LookupKeys keys,
                                                                          std::string_view parameter,
                                                                          long minimum) const;

  maps::Chain mailboxes_, uids_, gids_;
  maps::ExtensionRule extension_;
  std::string base_;
  long minimum_uid_ = 100;
};

}  // namespace stagepost::virtual_agent
