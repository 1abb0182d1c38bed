// One mail transaction as a state machine without I/O: which command comes next, what its reply means for which
// recipient, when the content may be sent. The same for SMTP (one reply after the dot) and LMTP (one per recipient), in
// step or pipelined (RFC 2920).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "delivery/smtp/failure.hpp"
#include "delivery/smtp/settings.hpp"
#include "mail/ehlo.hpp"

namespace stagepost::smtp_client {

struct EnvelopeRecipient {
  std::string address;  ///< internal form
  std::uint32_t notify = 0;
  std::string dsn_original;  ///< "rfc822;address", decoded
};

struct Envelope {
  std::string sender;  ///< internal form; "" for the null sender
  std::uint64_t size_bytes = 0;
  bool eight_bit = false;  ///< content that is sent as 8bit
  bool smtputf8 = false;
  std::string dsn_envid;
  std::uint32_t dsn_ret = 0;  ///< queue::RetFlags
  bool probe = false;         ///< find out whether the recipients would be taken; send no content
  std::vector<EnvelopeRecipient> recipients;
};

/// "MAIL FROM:<a@example> SIZE=123 BODY=8BITMIME RET=HDRS ENVID=x SMTPUTF8"; no line end. Addresses are quoted as RFC
/// 5321 wants with `quote`.
[[nodiscard]] std::string mail_command(const Envelope& envelope, const smtp::Capabilities& server, bool quote);
[[nodiscard]] std::string rcpt_command(const EnvelopeRecipient& recipient, const smtp::Capabilities& server,
                                       bool quote);

class Transaction {
 public:
  enum class Phase : std::uint8_t {
    envelope,  ///< commands to send or replies to read
    content,   ///< 354 came: send the content, then call content_sent()
    dot_only,  ///< 354 came though nobody is left: send ".", then call content_sent()
    finish,    ///< replies after the dot
    done,
  };
  /// `host` is "name[address]" for the texts of failures.
  Transaction(Envelope envelope, const smtp::Capabilities& server, const Settings& settings, std::string host);

  [[nodiscard]] Phase phase() const { return phase_; }
  /// The next command to send now, without line end; nullopt: read a reply first (or the phase changed). With
  /// PIPELINING at most `window_bytes` of commands are on their way, so that neither side can block the other.
  [[nodiscard]] std::optional<std::string> next_command();
  /// Which step the next reply belongs to; nullopt: no reply is due.
  [[nodiscard]] std::optional<Step> awaited() const;
  void on_reply(const smtp::ServerReply& reply);
  void content_sent();
  /// The connection broke: recipients that have no fate yet get this one. Ends the transaction.
  void on_broken(const Failure& failure);

  /// The fate of each recipient, in the order of the envelope: nullopt is "not known yet".
  struct Fate {
    bool delivered = false;
    std::string reply;  ///< of the delivery, one line
    std::string code;   ///< its status code
    Failure failure;
  };
  [[nodiscard]] const std::vector<std::optional<Fate>>& fates() const { return fates_; }
  [[nodiscard]] bool anybody_delivered() const;
  /// MAIL was accepted and the content was not: RSET before the session is used again.
  [[nodiscard]] bool needs_reset() const { return needs_reset_; }
  /// The server said 421 somewhere, it is about to hang up (RFC 5321 §3.8).
  [[nodiscard]] bool server_closing() const { return server_closing_; }

  static constexpr std::size_t kWindowBytes = 16 * 1024;

 private:
  struct Sent {
    Step step;
    std::size_t recipient;  // index, for RCPT
    std::size_t bytes;
  };
  void push(Step step, std::size_t recipient, std::size_t bytes);
  void fail_rest(const Failure& failure);
  void accept(std::size_t recipient, const smtp::ServerReply& reply);
  void on_data_reply(const smtp::ServerReply& reply);
  void on_final_reply(const smtp::ServerReply& reply);
  [[nodiscard]] std::size_t open_count() const;

  Envelope envelope_;
  smtp::Capabilities server_;
  bool pipelining_;
  bool quote_;
  bool lmtp_;
  bool data_wanted_;  // false: a probe that ends after the last RCPT
  std::string host_;
  Phase phase_ = Phase::envelope;
  bool mail_sent_ = false;
  bool mail_failed_ = false;
  std::size_t next_recipient_ = 0;
  bool data_sent_ = false;
  bool needs_reset_ = false;
  bool server_closing_ = false;
  std::deque<Sent> outstanding_;
  std::size_t outstanding_bytes_ = 0;
  std::vector<std::optional<Fate>> fates_;
  std::deque<std::size_t> final_order_;  // LMTP: recipients whose replies follow the dot
};

}  // namespace stagepost::smtp_client
