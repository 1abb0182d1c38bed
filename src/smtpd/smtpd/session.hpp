// One client, from connection to disconnection: reads commands, asks the pure units and the services, writes replies,
// keeps the time and the log.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/buffered_stream.hpp"
#include "smtpd/smtpd/client.hpp"
#include "smtpd/smtpd/command_counts.hpp"
#include "smtpd/smtpd/dialogue.hpp"
#include "smtpd/smtpd/services.hpp"
#include "smtpd/smtpd/transaction.hpp"

namespace stagepost::smtpd {

class Session {
 public:
  /// `services` outlives the session. `client` has addresses and ports; names are looked up here.
  Session(Services& services, std::shared_ptr<const Policy> policy, std::unique_ptr<net::Stream> stream, Client client);

  [[nodiscard]] net::Task<> run();

 private:
  enum class Flow : std::uint8_t { go_on, close };
  using Stages = std::vector<Stage>;
  /// Value of where_ once a message was dealt with.
  static constexpr std::string_view kEndOfMessage = "END-OF-MESSAGE";

  [[nodiscard]] const Settings& settings() const { return policy_->settings; }
  [[nodiscard]] Deadline request_deadline() const { return within(settings().timeout); }

  void count(clients::AnvilEvent::What event);
  [[nodiscard]] net::Task<> identify();
  [[nodiscard]] net::Task<> check_verp_client();
  [[nodiscard]] net::Task<Flow> greet();
  [[nodiscard]] net::Task<> converse();
  [[nodiscard]] net::Task<Flow> read_command(std::string& line);
  [[nodiscard]] net::Task<Flow> handle_line(std::string line);
  [[nodiscard]] net::Task<Flow> refuse_unknown(const smtp::Command& command, std::string_view line, bool& handled,
                                               bool& counted);
  [[nodiscard]] net::Task<Flow> check_pipelining(smtp::Verb verb, std::string_view name);
  [[nodiscard]] net::Task<Flow> perform(Action action);
  [[nodiscard]] net::Task<Flow> on_answer(Answer answer);
  [[nodiscard]] net::Task<Flow> on_helo(CheckHelo check);
  [[nodiscard]] net::Task<Flow> on_mail(CheckMail check);
  [[nodiscard]] net::Task<Flow> on_rcpt(CheckRcpt check);
  [[nodiscard]] net::Task<Flow> on_data();
  [[nodiscard]] net::Task<Flow> on_chunk(Chunk chunk);
  [[nodiscard]] net::Task<Flow> on_vrfy(CheckVrfy check);
  [[nodiscard]] net::Task<Flow> on_etrn(CheckEtrn check);
  [[nodiscard]] net::Task<Flow> on_starttls();
  [[nodiscard]] net::Task<Result<>> start_tls();

  /// Opens the queue file if that is due; the reply says why not.
  [[nodiscard]] net::Task<std::optional<smtp::Reply>> open_message();
  [[nodiscard]] net::Task<std::optional<smtp::Reply>> start_content();
  [[nodiscard]] net::Task<Flow> finish_message(std::string_view ok_prefix);
  [[nodiscard]] net::Task<Result<>> receive_data();
  [[nodiscard]] net::Task<Result<>> receive_chunk(std::uint64_t size_bytes, bool keep);
  [[nodiscard]] net::Task<> pass_on();
  void take_line(mail::Line line);
  [[nodiscard]] Deadline content_deadline(SteadyClock::time_point start) const;
  [[nodiscard]] net::Task<bool> may_send_bare_newlines();
  [[nodiscard]] std::optional<smtp::Reply> check_space(const smtp::MailCommand& command);

  [[nodiscard]] net::Task<std::optional<smtp::Reply>> decide(Stages stages, std::string_view where);
  [[nodiscard]] AccessRequest access_request() const;

  /// Sends the reply and counts it. Flow::close for 421, 521 and a lost connection.
  [[nodiscard]] net::Task<Flow> reply(smtp::Reply reply);
  [[nodiscard]] net::Task<Flow> close_after(const Error& error);
  [[nodiscard]] std::string describe_position() const;
  [[nodiscard]] std::string queue_id_or_none() const;
  void log_reject(std::string_view where, const smtp::Reply& reply) {
    log_event("reject", where, smtp::reply_for_log(reply));
  }
  void log_event(std::string_view kind, std::string_view where, std::string_view text);
  /// What was not finished is taken back first, so that it is gone before the client hears more.
  [[nodiscard]] net::Task<> end_transaction();
  [[nodiscard]] bool input_waiting();
  [[nodiscard]] bool complete_line_buffered() const { return io_.buffered().find('\n') != std::string_view::npos; }

  Services& services_;
  std::shared_ptr<const Policy> policy_;
  net::BufferedStream io_;
  Client client_;
  Dialogue dialogue_;
  CommandCounts counts_;
  std::unique_ptr<Transaction> transaction_;
  std::unique_ptr<tls::SessionInfo> tls_info_;
  /// Why every command is refused (smtpd_client_restrictions without smtpd_delay_reject).
  bool access_denied_ = false;
  bool counted_ = true;  ///< anvil hears of this client
  bool improper_pipelining_ = false;
  bool last_reply_ok_ = true;
  bool count_error_ = true;
  std::string recipient_;  // of the command that is being handled, for the log
  std::string_view where_ = "CONNECT";
  std::uint32_t errors_ = 0;
  std::uint32_t junk_ = 0;
  std::uint32_t overshoot_ = 0;
};

}  // namespace stagepost::smtpd
