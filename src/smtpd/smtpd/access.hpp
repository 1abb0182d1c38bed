// Access control: applies restriction lists to one command of one session (access(5), SMTPD_ACCESS_README). What it
// needs to know from outside comes through Lookups, so that tests run it without sockets.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "clients/rewrite.hpp"
#include "dns/resolver.hpp"
#include "mail/reply.hpp"
#include "smtpd/smtpd/client.hpp"
#include "smtpd/smtpd/policy.hpp"

namespace stagepost::smtpd {

/// Questions to other services.
class Lookups {
 public:
  virtual ~Lookups() = default;
  [[nodiscard]] virtual net::Task<Result<clients::ResolveReply>> resolve(std::string sender, std::string recipient) = 0;
  [[nodiscard]] virtual net::Task<dns::Answer> dns(std::string name, dns::Type type) = 0;
  [[nodiscard]] virtual net::Task<> sleep(std::chrono::seconds time) = 0;
};

/// What a decision is about. Everything lives as long as the evaluation.
struct AccessRequest {
  const Client& client;
  std::string_view helo;
  /// Internal form; nullopt before MAIL and RCPT.
  std::optional<std::string_view> sender = {};
  std::optional<std::string_view> recipient = {};
  std::string_view etrn_domain = {};
  std::uint32_t recipients = 0;  ///< accepted so far
  bool encrypted = false;
  /// Commands were sent ahead where RFC 2920 forbids it.
  bool improper_pipelining = false;
};

/// What tables ordered besides yes or no.
struct AccessEffects {
  bool hold = false;
  bool discard = false;
  std::string filter;
  std::string redirect;
  std::vector<std::string> bcc;
  std::vector<std::string> prepend;
  /// About a refusal, for the log line behind it (OldDefaults::say).
  std::string reminder;
};

/// Gets "hold", "<x@y>: Recipient address triggers HOLD action": a log line of the session.
using AccessNote = std::function<void(std::string_view kind, std::string text)>;

/// `stages` in order, as one decision: the reply that refuses the command, or nullopt. With Stage::recipient, unknown
/// recipients are refused at the end whatever permitted the rest (smtpd_reject_unlisted_recipient).
[[nodiscard]] net::Task<std::optional<smtp::Reply>> check_access(const Policy& policy, Lookups& lookups,
                                                                 AccessRequest request, std::vector<Stage> stages,
                                                                 AccessEffects& effects, const AccessNote& note);

/// local_header_rewrite_clients and the like: does the list permit this client?
[[nodiscard]] net::Task<bool> is_permitted(const Policy& policy, Lookups& lookups, AccessRequest request,
                                           const Rules& rules);

/// VRFY, and the end of RCPT: is the recipient known?
[[nodiscard]] net::Task<std::optional<smtp::Reply>> check_listed_recipient(const Policy& policy, Lookups& lookups,
                                                                           std::string sender, std::string recipient);

}  // namespace stagepost::smtpd
