// Which addresses exist here: the lookups behind reject_unlisted_recipient and reject_unlisted_sender
// (local_recipient_maps, virtual_alias_maps, virtual_mailbox_maps, relay_recipient_maps; ADDRESS_CLASS_README).
#pragma once

#include <optional>
#include <string>

#include "clients/rewrite.hpp"
#include "config/snapshot.hpp"
#include "mail/dsn.hpp"
#include "maps/chain.hpp"

namespace stagepost::smtpd {

/// Who refuses an address, and how. `text` is what follows "Recipient address rejected: ".
struct UnknownAddress {
  int code = 550;
  std::string enhanced;  ///< "" : 5.1.1 for a recipient, 5.1.0 for a sender
  std::string text;
};

class KnownAddresses {
 public:
  [[nodiscard]] static Result<KnownAddresses> create(const config::Snapshot& config, const maps::OpenContext& context);

  /// nullopt: the address is known, or nothing here can tell. Error: a table failed (temporary).
  [[nodiscard]] net::Task<Result<std::optional<UnknownAddress>>> check(clients::ResolveReply resolved) const;

 private:
  struct Class {
    maps::Chain maps;
    int code = 550;
    std::string table_name;
  };
  [[nodiscard]] UnknownAddress unknown(const Class& address_class) const;

  maps::Chain canonical_;
  maps::Chain virtual_alias_;
  Class local_;
  Class virtual_alias_class_;
  Class virtual_mailbox_;
  Class relay_;
  maps::ExtensionRule extension_;
  bool show_table_ = true;
  std::string error_transport_ = "error";
};

}  // namespace stagepost::smtpd
