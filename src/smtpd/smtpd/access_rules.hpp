// Restriction lists (smtpd_*_restrictions) as values: what each word means and which argument it takes. Parsing opens
// tables; nothing is looked up here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/snapshot.hpp"
#include "maps/chain.hpp"
#include "maps/open.hpp"

namespace stagepost::smtpd {

/// When a list is applied, which decides what "reject" refers to.
enum class Stage : std::uint8_t { client, helo, sender, relay, recipient, data, end_of_data, etrn };
inline constexpr std::size_t kStages = 8;
/// "smtpd_client_restrictions" ...
[[nodiscard]] std::string_view parameter_of(Stage stage);

enum class Check : std::uint8_t {
  // Generic.
  permit,
  reject,
  defer,
  defer_if_permit,
  defer_if_reject,
  warn_if_reject,
  sleep,
  // Client.
  permit_mynetworks,
  permit_inet_interfaces,
  permit_sasl_authenticated,
  permit_tls,
  reject_unknown_client_hostname,
  reject_unknown_reverse_client_hostname,
  reject_plaintext_session,
  reject_unauth_pipelining,
  // HELO.
  reject_invalid_helo_hostname,
  reject_non_fqdn_helo_hostname,
  reject_unknown_helo_hostname,
  // Sender.
  reject_non_fqdn_sender,
  reject_unknown_sender_domain,
  reject_unlisted_sender,
  // Recipient.
  permit_auth_destination,
  reject_unauth_destination,
  defer_unauth_destination,
  reject_non_fqdn_recipient,
  reject_unknown_recipient_domain,
  reject_unlisted_recipient,
  reject_multi_recipient_bounce,
  // Tables.
  client_access,
  reverse_client_access,
  helo_access,
  sender_access,
  recipient_access,
  etrn_access,
  // DNS lists; the argument is domain[=pattern].
  rbl_client,
  rhsbl_client,
  rhsbl_reverse_client,
  rhsbl_helo,
  rhsbl_sender,
  rhsbl_recipient,
  permit_dnswl_client,
  permit_rhswl_client,
  // Anything else.
  restriction_class,
  sasl_only,    ///< Without SASL: a warning, no effect.
  ineffective,  ///< Warned about at start.
  bad,          ///< Unknown, or a bad argument: 451 4.3.5 and `argument` as a warning.
};

struct Rule {
  Check check = Check::bad;
  /// As in the configuration.
  std::string name;
  /// The word that follows, for checks that take one.
  std::string argument;
  /// For table checks.
  std::shared_ptr<const maps::Chain> table = nullptr;
};
using Rules = std::vector<Rule>;

/// The tables of all lists, each opened once.
class AccessTables {
 public:
  explicit AccessTables(maps::OpenContext context) : context_(std::move(context)) {}
  /// Opens the table, or finds it open. Null: not of the form type:name.
  [[nodiscard]] std::shared_ptr<const maps::Chain> open(std::string_view type_and_name);
  /// Null when the lists of the configuration do not name it: tables are not opened in the middle of a session.
  [[nodiscard]] std::shared_ptr<const maps::Chain> find(std::string_view type_and_name) const;

 private:
  maps::OpenContext context_;
  std::map<std::string, std::shared_ptr<const maps::Chain>, std::less<>> tables_;
};

using FindTable = std::function<std::shared_ptr<const maps::Chain>(std::string_view type_and_name)>;

/// Total: what is not understood becomes Check::bad. `classes` are the names of smtpd_restriction_classes; `stage`
/// decides what a bare "type:table" is asked about.
[[nodiscard]] Rules parse_rules(const std::vector<std::string>& words, Stage stage,
                                const std::vector<std::string>& classes, const FindTable& table);

/// True when mail for others is refused by one of these lists at least (relaying has to be an administrator's
/// decision).
[[nodiscard]] bool limits_relaying(const Rules& rules);

}  // namespace stagepost::smtpd
