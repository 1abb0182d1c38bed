// Lists that only say yes or no: mynetworks, mydestination, relay_domains, authorized_submit_users, debug_peer_list ...
// Items: a string, domain or network; "!item"; "/file/name", replaced by the items in it; "type:table". Left to right,
// the first match decides.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "maps/cidr.hpp"
#include "maps/lookup_order.hpp"
#include "maps/open.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

/// What the plain items of a list are.
enum class MatchStyle : std::uint8_t {
  strings,             ///< authorized_submit_users: equal, ignoring case
  domains,             ///< mydestination, relay_domains: equal or a parent domain
  names_or_addresses,  ///< mynetworks: a host name (as `domains`) or an address or network
};

class MatchList {
 public:
  /// Who is asked about. `address` is used by names_or_addresses only, in text form without [].
  struct Subject {
    std::string name = {};
    std::string address = {};
  };
  struct Options {
    MatchStyle style = MatchStyle::strings;
    ParentStyle parents = ParentStyle::dotted;
  };

  MatchList() = default;
  /// `parameter_name` is for messages. A table or /file that cannot be opened, or a malformed network, makes the
  /// lookups that get that far fail (temporarily), and is warned about; unbalanced braces are an Error here.
  [[nodiscard]] static Result<MatchList> create(std::string_view parameter_name, std::string_view list, Options options,
                                                const OpenContext& context);

  [[nodiscard]] bool empty() const { return items_.empty(); }
  /// nullopt when the answer depends on a network table: then matches().
  [[nodiscard]] std::optional<Result<bool>> matches_now(const Subject& subject) const;
  [[nodiscard]] net::Task<Result<bool>> matches(Subject subject) const;

 private:
  friend class MatchListParser;
  struct Text {
    std::string folded;
  };
  struct TableItem {
    std::unique_ptr<Table> table;
  };
  struct Broken {
    std::string reason;
  };
  struct Item {
    bool negated = false;
    std::variant<Text, Network, TableItem, Broken> what;
  };
  struct Prepared;

  [[nodiscard]] std::optional<bool> matches_plain(const Item& item, const Prepared& subject) const;

  /// "parameter: type:name: table lookup problem: reason".
  [[nodiscard]] Error table_problem(const Table& table, Error reason) const;

  std::string parameter_name_;
  Options options_;
  std::vector<Item> items_;
};

}  // namespace stagepost::maps
