// The order of commands within one session (RFC 5321 §4.1.4) and what each is answered, as far as that needs no
// look-up. Pure: a line in, an Action out. What an Action asks for is done by the session, which then reports the
// outcome here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mail/address.hpp"
#include "mail/reply.hpp"
#include "mail/smtp_command.hpp"
#include "smtpd/smtpd/settings.hpp"

namespace stagepost::smtpd {

struct Answer {
  /// A line for the log: [queue ID: ]before + " from " + client + after. None if `before` is empty.
  struct Warning {
    std::string before = {};
    std::string after = {};
    bool with_queue_id = false;
  };
  smtp::Reply reply = {};
  bool close = false;
  Warning warning = {};
};
struct CheckHelo {
  std::string name;
  bool esmtp = false;
};
struct CheckMail {
  smtp::MailCommand command;
};
struct CheckRcpt {
  smtp::RcptCommand command;
};
struct BeginData {};
/// A chunk of `size_bytes` follows. It is read in any case; with `refusal` it is thrown away.
struct Chunk {
  std::uint64_t size_bytes = 0;
  bool last = false;
  std::optional<smtp::Reply> refusal;
};
struct CheckVrfy {
  mail::Address address;
};
struct CheckEtrn {
  std::string domain;
};
struct StartTls {};
using Action = std::variant<Answer, CheckHelo, CheckMail, CheckRcpt, BeginData, Chunk, CheckVrfy, CheckEtrn, StartTls>;

/// Whether STARTTLS is possible now.
enum class TlsState : std::uint8_t {
  none,         ///< not offered
  unavailable,  ///< should be, but there is no usable certificate
  ready,
  active,
};

class Dialogue {
 public:
  /// `settings` outlives the dialogue.
  explicit Dialogue(const Settings& settings) : settings_(&settings) {}

  /// `command` as parsed from one line. Unknown verbs: the session has dealt with smtpd_noop_commands and
  /// smtpd_forbidden_commands before.
  [[nodiscard]] Action on_command(const smtp::Command& command);

  // Outcomes.
  void helo_accepted(std::string name, bool esmtp);
  /// The name is remembered for logs although the command was refused.
  void helo_refused(std::string name);
  void mail_accepted(const smtp::MailCommand& command);
  void rcpt_accepted() { ++recipients_; }
  void bdat_accepted() { chunking_ = Chunking::active; }
  void bdat_failed() { chunking_ = Chunking::failed; }
  /// End of the transaction: delivered, refused, RSET.
  void reset();
  /// TLS is up: what was said before does not count (RFC 3207 §4.2).
  void tls_started();
  void set_tls(TlsState state) { tls_ = state; }
  /// The client is one of smtpd_authorized_verp_clients.
  void allow_verp() { verp_ = true; }

  [[nodiscard]] std::string ehlo_text() const;
  [[nodiscard]] const std::string& helo() const { return helo_; }
  /// "SMTP" until EHLO.
  [[nodiscard]] std::string_view protocol() const { return esmtp_ ? "ESMTP" : "SMTP"; }
  [[nodiscard]] bool esmtp() const { return esmtp_; }
  [[nodiscard]] bool in_transaction() const { return in_transaction_; }
  [[nodiscard]] std::uint32_t recipients() const { return recipients_; }
  [[nodiscard]] bool tls_active() const { return tls_ == TlsState::active; }

  /// May a client send more before it has the reply to this command (RFC 2920)?
  [[nodiscard]] bool may_pipeline_after(smtp::Verb verb) const;

 private:
  enum class Chunking : std::uint8_t { none, active, failed };
  [[nodiscard]] Action on_helo(const smtp::Command& command) const;
  [[nodiscard]] Action on_mail(const smtp::Command& command) const;
  [[nodiscard]] Action on_rcpt(const smtp::Command& command) const;
  [[nodiscard]] Action on_data(const smtp::Command& command) const;
  [[nodiscard]] Action on_bdat(const smtp::Command& command) const;
  [[nodiscard]] Action on_vrfy(const smtp::Command& command) const;
  [[nodiscard]] Action on_etrn(const smtp::Command& command) const;
  [[nodiscard]] Action on_starttls(const smtp::Command& command) const;
  [[nodiscard]] smtp::CommandOptions command_options() const;

  const Settings* settings_;
  std::string helo_;
  bool esmtp_ = false;
  bool in_transaction_ = false;
  bool smtputf8_ = false;
  bool verp_ = false;
  Chunking chunking_ = Chunking::none;
  TlsState tls_ = TlsState::none;
  std::uint32_t recipients_ = 0;
};

}  // namespace stagepost::smtpd
