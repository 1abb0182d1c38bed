// A recipient as it travels between daemons.
#pragma once

#include <cstdint>
#include <string>

#include "queue/message_reader.hpp"

namespace stagepost::clients {

struct RecipientRecord {
  std::string address;       ///< internal form (mail::Address::internal)
  std::string original;      ///< before rewriting and aliasing; empty: same as address
  std::string dsn_original;  ///< ORCPT "rfc822;..." as received; empty: none
  std::uint32_t notify = 0;  ///< queue::NotifyFlags
  std::int64_t offset = 0;   ///< of its record in the queue file; 0: none

  auto fields(this auto& self, auto&& visit) {
    return visit(self.address, self.original, self.dsn_original, self.notify, self.offset);
  }
  bool operator==(const RecipientRecord&) const = default;

  [[nodiscard]] static RecipientRecord from(const queue::Recipient& recipient) {
    return {recipient.address, recipient.original, recipient.dsn_original, recipient.notify, recipient.offset};
  }
};

/// A named attribute of a queue file (queue/attributes.hpp).
struct Attribute {
  std::string name;
  std::string value;
  auto fields(this auto& self, auto&& visit) { return visit(self.name, self.value); }
  bool operator==(const Attribute&) const = default;
};

}  // namespace stagepost::clients
