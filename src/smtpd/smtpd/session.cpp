// See session.hpp. Replies and log lines are those of Postfix 3.7.11, taken from its behaviour.
#include "smtpd/smtpd/session.hpp"

#include <algorithm>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "smtpd/smtpd/access_reply.hpp"

namespace stagepost::smtpd {
namespace {

using smtp::Reply;
using smtp::Verb;
using Event = clients::AnvilEvent::What;

Reply make_reply(int code, std::string_view enhanced, std::string text) {
  return {.code = code, .enhanced = std::string(enhanced), .text = std::move(text)};
}

/// Bytes a client sent ahead, readable: "QUIT\r\n" with the line ends visible.
std::string escaped(std::string_view bytes) {
  std::string out;
  for (const char c : bytes.substr(0, 100)) {
    switch (c) {
      case '\r':
        out += "\\r";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (text::is_printable(c)) {
          out += c;
        } else {
          out += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
        }
    }
  }
  return out;
}

}  // namespace

Session::Session(Services& services, std::shared_ptr<const Policy> policy, std::unique_ptr<net::Stream> stream,
                 Client client)
    : services_(services),
      policy_(std::move(policy)),
      io_(std::move(stream)),
      client_(std::move(client)),
      dialogue_(policy_->settings) {}

net::Task<> Session::run() {
  co_await identify();
  log::info("connect from {}", client_.label);
  // As Postfix: no limit holds for them, so anvil does not hear of them. A failing table excludes nobody.
  const auto uncounted = co_await policy_->uncounted_clients.matches({client_.name, client_.address});
  counted_ = !uncounted.value_or(false);
  count(Event::connect);
  co_await check_verp_client();
  const Flow greeted = co_await greet();
  if (greeted == Flow::go_on) { co_await converse(); }
  co_await end_transaction();
  count(Event::disconnect);
  log::info("disconnect from {} {}", client_.label, counts_.summary());
  io_.close();
}

void Session::count(clients::AnvilEvent::What event) {
  if (counted_) { services_.count(event, client_.address); }
}

net::Task<> Session::identify() {
  const auto address = net::IpAddress::parse(client_.address);
  if (address && settings().peername_lookup) {
    const auto found = co_await services_.client_name(*address);
    if (!found.warning.empty()) { log::warning("{}", found.warning); }
    client_.name = found.name;
    client_.reverse_name = found.reverse_name;
    client_.name_status = found.name_status;
    client_.reverse_status = found.reverse_status;
  }
  client_.label = fmt::format("{}[{}]", client_.name, client_.address);
  if (settings().client_port_logging) { client_.label += ":" + client_.port; }
}

net::Task<> Session::check_verp_client() {
  const auto allowed = co_await policy_->verp_clients.matches({client_.name, client_.address});
  if (!allowed) { log::warning("{}", allowed.error().message()); }
  if (allowed && *allowed) { dialogue_.allow_verp(); }
}

net::Task<Session::Flow> Session::greet() {
  const auto tls = services_.tls();
  if (settings().tls_level != tls::Level::none) {
    dialogue_.set_tls(tls == nullptr ? TlsState::unavailable : TlsState::ready);
  }
  if (settings().tls_wrappermode) {
    if (tls == nullptr) {
      log::warning("smtpd_tls_wrappermode is on but there is no usable certificate");
      co_return Flow::close;
    }
    const auto started = co_await start_tls();
    if (!started) { co_return Flow::close; }
  }
  if (!settings().delay_reject) {
    std::optional<Reply> refusal = co_await decide({Stage::client}, "CONNECT");
    if (refusal) {
      access_denied_ = true;
      Flow flow = co_await reply(std::move(*refusal));
      co_return flow;
    }
  }
  // What a client says before the banner is not for us (RFC 5321 §4.3.1).
  const Flow checked = co_await check_pipelining(Verb::unknown, "CONNECT");
  if (checked == Flow::close) { co_return Flow::close; }
  Flow flow = co_await reply(make_reply(220, "", settings().banner));
  co_return flow;
}

net::Task<> Session::converse() {
  for (;;) {
    if (errors_ >= settings().hard_error_limit) {
      log::info("too many errors after {} from {}", where_, client_.label);
      co_await reply(make_reply(421, "4.7.0", settings().myhostname + " Error: too many errors"));
      co_return;
    }
    std::string line;
    const Flow read = co_await read_command(line);
    if (read == Flow::close) { co_return; }
    const Flow flow = co_await handle_line(std::move(line));
    if (flow == Flow::close) {
      [[maybe_unused]] const auto flushed = co_await io_.flush(request_deadline());
      co_return;
    }
  }
}

net::Task<Session::Flow> Session::read_command(std::string& line) {
  // RFC 2920 §3.2: replies may wait as long as whole commands are here already.
  if (!complete_line_buffered()) {
    const auto flushed = co_await io_.flush(request_deadline());
    if (!flushed) {
      const Flow closed = co_await close_after(flushed.error());
      co_return closed;
    }
  }
  const Deadline deadline = request_deadline();
  const auto read = co_await io_.read_line(settings().line_length_limit, deadline);
  if (read) {
    line.assign(read->text);
    co_return Flow::go_on;
  }
  if (read.error().code != net::Errc::limit_exceeded) {
    const Flow closed = co_await close_after(read.error());
    co_return closed;
  }
  // The start of the line is the command; the rest must not be taken for one.
  line = io_.take_partial(settings().line_length_limit);
  log::warning("{}: request longer than {}: {}...", client_.label, settings().line_length_limit,
               printable(std::string_view(line).substr(0, 30)));
  for (;;) {
    const auto more = co_await io_.peek(deadline);
    if (!more) {
      const Flow closed = co_await close_after(more.error());
      co_return closed;
    }
    const std::size_t newline = more->find('\n');
    io_.consume(newline == std::string_view::npos ? more->size() : newline + 1);
    if (newline != std::string_view::npos) { co_return Flow::go_on; }
  }
}

net::Task<Session::Flow> Session::handle_line(std::string line) {
  const smtp::Command command = smtp::parse_command(line);
  recipient_.clear();
  count_error_ = true;
  last_reply_ok_ = true;
  if (command.verb == Verb::empty) {
    Flow flow = co_await reply(make_reply(500, "5.5.2", "Error: bad syntax"));
    co_return flow;
  }
  if (settings().smtputf8 && !text::is_ascii(line) && !text::is_utf8(line)) {
    Flow flow = co_await reply(make_reply(500, "5.5.2", "Error: bad UTF-8 syntax"));
    co_return flow;
  }
  const std::string_view name = smtp::verb_name(command.verb);
  const bool known = command.verb != Verb::unknown && command.verb != Verb::lhlo && command.verb != Verb::expn &&
                     command.verb != Verb::help;
  where_ = known ? name : std::string_view("UNKNOWN");
  Flow flow = Flow::go_on;
  bool handled = false;
  bool counted = true;
  if (access_denied_ && command.verb != Verb::quit) {
    flow = co_await reply(make_reply(503, "5.7.0", "Error: access denied for " + client_.label));
    handled = true;
  }
  if (!handled && !known) { flow = co_await refuse_unknown(command, line, handled, counted); }
  if (!handled) {
    flow = co_await check_pipelining(command.verb, where_);
    handled = flow == Flow::close;
  }
  if (!handled) {
    if (command.verb == Verb::noop || command.verb == Verb::vrfy || command.verb == Verb::etrn ||
        command.verb == Verb::rset) {
      if (++junk_ > settings().junk_command_limit) { ++errors_; }
    }
    Action action = dialogue_.on_command(command);
    if (command.verb == Verb::rset && command.argument.empty()) { co_await end_transaction(); }
    flow = co_await perform(std::move(action));
  }
  if (counted) { counts_.add(known ? command.verb : Verb::unknown, last_reply_ok_); }
  co_return flow;
}

net::Task<Session::Flow> Session::refuse_unknown(const smtp::Command& command, std::string_view line, bool& handled,
                                                 bool& counted) {
  std::string word(command.word);
  for (char& c : word) { c = text::upper(c); }
  if (settings().noop_commands.contains(word)) {
    handled = true;
    counted = false;
    Flow flow = co_await reply(make_reply(250, "2.0.0", "Ok"));
    co_return flow;
  }
  // A browser, a proxy or the middle of a message: nothing good comes after this.
  const auto forbidden = co_await policy_->forbidden_commands.matches({.name = std::string(command.word)});
  const std::size_t colon = command.word.find(':');
  const bool header = colon != std::string_view::npos && colon > 0;
  if (header || (forbidden && *forbidden)) {
    handled = true;
    log::warning("non-SMTP command from {}: {}", client_.label, printable(line.substr(0, 100)));
    co_await reply(make_reply(221, "2.7.0", "Error: I can break rules, too. Goodbye."));
    last_reply_ok_ = false;
    co_return Flow::close;
  }
  co_return Flow::go_on;
}

/// More input than the replies allow for: a client that does not wait, or one whose words someone else put there.
net::Task<Session::Flow> Session::check_pipelining(Verb verb, std::string_view name) {
  // Who has a pipe cannot wait for replies, and nobody else can have put words into it.
  if (settings().stand_alone()) { co_return Flow::go_on; }
  const bool greeting = name == "CONNECT";
  const bool allowed = !greeting && dialogue_.may_pipeline_after(verb);
  if (allowed || !input_waiting()) { co_return Flow::go_on; }
  if (io_.buffered().empty()) {
    const auto more = co_await io_.peek_more(request_deadline());
    if (!more) { co_return Flow::go_on; }
  }
  if (!improper_pipelining_) {
    log::info("improper command pipelining after {} from {}: {}", name, client_.label, escaped(io_.buffered()));
  }
  improper_pipelining_ = true;
  if (!settings().forbid_unauth_pipelining) { co_return Flow::go_on; }
  co_await reply(make_reply(554, "5.5.0", "Error: SMTP protocol synchronization"));
  co_return Flow::close;
}

bool Session::input_waiting() {
  if (!io_.buffered().empty()) { return true; }
  // Under TLS the socket's bytes are not the client's words (a closing alert, a session ticket).
  if (dialogue_.tls_active()) { return false; }
  int bytes = 0;
  const int socket = io_.transport().native_handle();
  return socket >= 0 && ::ioctl(socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

net::Task<Session::Flow> Session::perform(Action action) {
  // One coroutine per kind of action; std::visit can't await.
  Flow flow = Flow::go_on;
  if (auto* const answer = std::get_if<Answer>(&action)) {
    flow = co_await on_answer(std::move(*answer));
  } else if (auto* const helo = std::get_if<CheckHelo>(&action)) {
    flow = co_await on_helo(std::move(*helo));
  } else if (auto* const mail = std::get_if<CheckMail>(&action)) {
    flow = co_await on_mail(std::move(*mail));
  } else if (auto* const rcpt = std::get_if<CheckRcpt>(&action)) {
    flow = co_await on_rcpt(std::move(*rcpt));
  } else if (std::holds_alternative<BeginData>(action)) {
    flow = co_await on_data();
  } else if (auto* const chunk = std::get_if<Chunk>(&action)) {
    flow = co_await on_chunk(std::move(*chunk));
  } else if (auto* const vrfy = std::get_if<CheckVrfy>(&action)) {
    flow = co_await on_vrfy(std::move(*vrfy));
  } else if (auto* const etrn = std::get_if<CheckEtrn>(&action)) {
    flow = co_await on_etrn(std::move(*etrn));
  } else {
    flow = co_await on_starttls();
  }
  co_return flow;
}

net::Task<Session::Flow> Session::on_answer(Answer answer) {
  if (!answer.warning.before.empty()) {
    log::warning("{}{} from {}{}", answer.warning.with_queue_id ? queue_id_or_none() + ": " : std::string(),
                 answer.warning.before, client_.label, answer.warning.after);
  }
  if (where_ == "BDAT") { dialogue_.bdat_failed(); }
  // Recipients over the limit are not errors until there are very many.
  if (answer.reply.code == 452 && where_ == "RCPT") {
    count_error_ = ++overshoot_ > settings().recipient_overshoot_limit;
  }
  const bool close = answer.close;
  Flow flow = co_await reply(std::move(answer.reply));
  co_return close ? Flow::close : flow;
}

net::Task<Session::Flow> Session::on_helo(CheckHelo check) {
  co_await end_transaction();
  dialogue_.reset();
  if (!settings().delay_reject) {
    const std::string previous = dialogue_.helo();
    dialogue_.helo_refused(check.name);
    std::optional<Reply> refusal = co_await decide({Stage::helo}, check.esmtp ? "EHLO" : "HELO");
    if (refusal) {
      dialogue_.helo_refused(previous);
      Flow flow = co_await reply(std::move(*refusal));
      co_return flow;
    }
  }
  dialogue_.helo_accepted(std::move(check.name), check.esmtp);
  if (check.esmtp && !settings().keywords.discarded.empty()) {
    log::info("discarding EHLO keywords: {}", settings().keywords.discarded);
  }
  Flow flow = co_await reply(make_reply(250, "", check.esmtp ? dialogue_.ehlo_text() : settings().myhostname));
  co_return flow;
}

std::optional<Reply> Session::check_space(const smtp::MailCommand& command) {
  const Settings& s = settings();
  const auto free = services_.queue_free_bytes();
  if (!free) {
    log::warning("{}", free.error().message());
    return make_reply(451, "4.3.0", "Error: queue file system is not accessible");
  }
  const std::uint64_t declared = command.size_bytes.value_or(0);
  const bool low = (s.queue_minfree > 0 && *free < s.queue_minfree) || *free / 3 < s.message_size_limit / 2;
  if (!low && declared / 2 <= *free / 3) { return std::nullopt; }
  const Reply refusal = make_reply(452, "4.3.1", "Insufficient system storage");
  log_reject("MAIL", refusal);
  log::warning("not enough free space in mail queue: {} bytes < 1.5*message size limit", *free);
  return refusal;
}

net::Task<Session::Flow> Session::on_mail(CheckMail check) {
  policy_->old_defaults.note_address("sender", check.command.sender.internal(), client_.label);
  std::optional<Reply> refusal = check_space(check.command);
  if (!refusal) {
    transaction_ = std::make_unique<Transaction>();
    transaction_->sender = check.command.sender.internal();
    transaction_->body = check.command.body;
    transaction_->smtputf8 = check.command.smtputf8;
    transaction_->ret = check.command.ret;
    transaction_->envid = check.command.envid.value_or("");
    if (check.command.verp_delimiters) {
      const std::string& given = *check.command.verp_delimiters;
      transaction_->verp_delimiters = given.empty() ? settings().default_verp_delimiters : given;
    }
    if (!settings().delay_reject) { refusal = co_await decide({Stage::sender}, "MAIL"); }
  }
  if (!refusal && !settings().delay_open_until_valid_rcpt) { refusal = co_await open_message(); }
  if (refusal) {
    co_await end_transaction();
    Flow flow = co_await reply(std::move(*refusal));
    co_return flow;
  }
  dialogue_.mail_accepted(check.command);
  Flow flow = co_await reply(make_reply(250, "2.1.0", "Ok"));
  co_return flow;
}

net::Task<Session::Flow> Session::on_rcpt(CheckRcpt check) {
  recipient_ = check.command.recipient.internal();
  policy_->old_defaults.note_address("recipient", recipient_, client_.label);
  Stages stages;
  if (settings().delay_reject) { stages = {Stage::client, Stage::helo, Stage::sender}; }
  const bool relay_first = policy_->access.relay_before_recipient;
  stages.push_back(relay_first ? Stage::relay : Stage::recipient);
  stages.push_back(relay_first ? Stage::recipient : Stage::relay);
  std::optional<Reply> refusal = co_await decide(std::move(stages), "RCPT");
  if (!refusal) { refusal = co_await open_message(); }
  if (!refusal) {
    clients::RecipientRecord record{.address = recipient_,
                                    .original = {},
                                    .dsn_original = {},
                                    .notify = static_cast<std::uint32_t>(check.command.notify),
                                    .offset = 0};
    if (check.command.orcpt) { record.dsn_original = dsn::format_orcpt(*check.command.orcpt); }
    if (!transaction_->effects.discard) {
      std::vector<clients::RecipientRecord> records;
      records.push_back(std::move(record));
      const auto added = co_await transaction_->message->add_recipients(std::move(records));
      if (!added) {
        log::warning("{}: {}", queue_id_or_none(), added.error().message());
        refusal = make_reply(451, "4.3.0", "Error: queue file write error");
      }
    }
  }
  if (refusal) {
    Flow flow = co_await reply(std::move(*refusal));
    co_return flow;
  }
  dialogue_.rcpt_accepted();
  if (transaction_->recipients++ == 0) { transaction_->first_recipient = check.command.recipient.external(); }
  count(Event::recipient);
  Flow flow = co_await reply(make_reply(250, "2.1.5", "Ok"));
  co_return flow;
}

net::Task<Session::Flow> Session::on_vrfy(CheckVrfy check) {
  recipient_ = check.address.internal();
  std::optional<Reply> refusal;
  if (settings().delay_reject) { refusal = co_await decide({Stage::client, Stage::helo, Stage::sender}, "VRFY"); }
  if (!refusal && settings().restricted()) {
    refusal = co_await check_listed_recipient(*policy_, services_, transaction_ ? transaction_->sender : std::string(),
                                              recipient_);
    if (refusal) {
      if (settings().soft_bounce) { *refusal = as_temporary(std::move(*refusal)); }
      log_reject("VRFY", *refusal);
    }
  }
  Reply answer = refusal ? std::move(*refusal) : make_reply(252, "2.0.0", recipient_);
  Flow flow = co_await reply(std::move(answer));
  co_return flow;
}

net::Task<Session::Flow> Session::on_etrn(CheckEtrn check) {
  if (settings().stand_alone()) {
    log::warning("do not use ETRN in \"sendmail -bs\" mode");
    Flow flow = co_await reply(make_reply(458, "", "Unable to queue messages"));
    co_return flow;
  }
  const Client& client = client_;
  AccessRequest request{.client = client, .helo = dialogue_.helo(), .etrn_domain = check.domain};
  AccessEffects effects;
  const AccessNote note = [this](std::string_view kind, std::string text) { log_event(kind, "ETRN", text); };
  Stages stages{Stage::etrn};
  if (settings().delay_reject) { stages = {Stage::client, Stage::helo, Stage::etrn}; }
  std::optional<Reply> refusal = co_await check_access(*policy_, services_, request, std::move(stages), effects, note);
  if (refusal) {
    log_reject("ETRN", *refusal);
    Flow flow = co_await reply(std::move(*refusal));
    co_return flow;
  }
  using Status = clients::FlushReply::Status;
  if (policy_->old_defaults.relay_domains) {
    policy_->old_defaults.say(
        fmt::format("relay_domains=$mydestination to flush mail for domain \"{}\"", check.domain));
  }
  const auto status = co_await services_.flush_site(check.domain);
  Reply answer = make_reply(250, "", "Queuing started");
  if (!status || *status == Status::failed) {
    answer = make_reply(458, "", fmt::format("<{}>: unable to queue messages", check.domain));
  } else if (*status == Status::unknown) {
    answer = make_reply(459, "", fmt::format("<{}>: service unavailable", check.domain));
  } else if (*status == Status::bad) {
    answer = make_reply(501, "", "Error: invalid parameter syntax");
  }
  if (answer.code != 250) { log::warning("reject: ETRN {}... from {}", check.domain, client_.label); }
  Flow flow = co_await reply(std::move(answer));
  co_return flow;
}

net::Task<Session::Flow> Session::on_starttls() {
  const Flow sent = co_await reply(make_reply(220, "2.0.0", "Ready to start TLS"));
  if (sent == Flow::close) { co_return Flow::close; }
  const auto flushed = co_await io_.flush(request_deadline());
  if (!flushed) {
    Flow closed = co_await close_after(flushed.error());
    co_return closed;
  }
  // CVE-2011-0411: what came before the handshake was not protected by it.
  io_.discard_input();
  co_await end_transaction();
  const auto started = co_await start_tls();
  if (!started) {
    last_reply_ok_ = false;
    log::info("lost connection after STARTTLS from {}", client_.label);
    co_return Flow::close;
  }
  co_return Flow::go_on;
}

net::Task<Result<>> Session::start_tls() {
  count(Event::new_tls);
  auto established = co_await tls::accept(services_.tls(), io_.release_transport(), client_.label,
                                          within(settings().starttls_timeout));
  if (!established) {
    // The stream is gone; a closed one keeps io_ usable.
    co_return std::unexpected(established.error());
  }
  io_.set_transport(std::move(established->stream));
  tls_info_ = std::make_unique<tls::SessionInfo>(std::move(established->session));
  dialogue_.tls_started();
  co_return Result<>{};
}

AccessRequest Session::access_request() const {
  AccessRequest request{.client = client_, .helo = dialogue_.helo()};
  if (transaction_) {
    request.sender = transaction_->sender;
    request.recipients = transaction_->recipients;
  }
  if (!recipient_.empty()) { request.recipient = recipient_; }
  request.encrypted = dialogue_.tls_active();
  request.improper_pipelining = improper_pipelining_;
  return request;
}

net::Task<std::optional<Reply>> Session::decide(Stages stages, std::string_view where) {
  if (!settings().restricted()) { co_return std::nullopt; }
  AccessEffects none;
  AccessEffects& effects = transaction_ ? transaction_->effects : none;
  const AccessNote note = [this, where](std::string_view kind, std::string text) { log_event(kind, where, text); };
  std::optional<Reply> refusal =
      co_await check_access(*policy_, services_, access_request(), std::move(stages), effects, note);
  if (refusal) {
    if (settings().soft_bounce) { *refusal = as_temporary(std::move(*refusal)); }
    log_reject(where, *refusal);
    if (!effects.reminder.empty()) { policy_->old_defaults.say(std::exchange(effects.reminder, {})); }
  }
  co_return refusal;
}

net::Task<Session::Flow> Session::reply(Reply reply) {
  if (settings().soft_bounce && reply.code != 521) { reply = as_temporary(std::move(reply)); }
  const bool error = reply.code >= 400;
  if (error) {
    last_reply_ok_ = false;
    if (count_error_) { ++errors_; }
  }
  if (errors_ > settings().soft_error_limit && settings().error_sleep_time.count() > 0) {
    // Slow down who makes many mistakes; what was said so far goes out first.
    [[maybe_unused]] const auto flushed = co_await io_.flush(request_deadline());
    [[maybe_unused]] const auto slept = co_await net::sleep_until(within(settings().error_sleep_time));
  }
  const auto written = co_await io_.write(smtp::format_reply(reply), request_deadline());
  if (!written) {
    Flow closed = co_await close_after(written.error());
    co_return closed;
  }
  if (reply.code == 421 || reply.code == 521) {
    [[maybe_unused]] const auto flushed = co_await io_.flush(request_deadline());
    co_return Flow::close;
  }
  co_return Flow::go_on;
}

std::string Session::describe_position() const {
  if (transaction_ && transaction_->content_started && (where_ == "DATA" || where_ == "BDAT")) {
    return fmt::format("{} ({} bytes)", where_, transaction_->size_bytes);
  }
  return std::string(where_);
}

net::Task<Session::Flow> Session::close_after(const Error& error) {
  last_reply_ok_ = false;
  if (error.is(std::errc::timed_out)) {
    log::info("timeout after {} from {}", describe_position(), client_.label);
    // The stream may be dead; one short attempt to say why.
    const auto said = co_await io_.write(
        smtp::format_reply(make_reply(421, "4.4.2", settings().myhostname + " Error: timeout exceeded")),
        within(std::chrono::seconds(5)));
    if (said) { [[maybe_unused]] const auto flushed = co_await io_.flush(within(std::chrono::seconds(5))); }
  } else if (where_ != kEndOfMessage) {
    // Who hangs up right after the message was accepted only saved a QUIT.
    log::info("lost connection after {} from {}", describe_position(), client_.label);
  }
  co_return Flow::close;
}

std::string Session::queue_id_or_none() const {
  return transaction_ && transaction_->message ? transaction_->message->queue_id() : std::string("NOQUEUE");
}

void Session::log_event(std::string_view kind, std::string_view where, std::string_view text) {
  std::string line = fmt::format("{}: {}: {} from {}: {};", queue_id_or_none(), kind, where, client_.label, text);
  if (transaction_) { line += fmt::format(" from=<{}>", mail::quote_822_local(transaction_->sender)); }
  if (!recipient_.empty()) {
    line += fmt::format(" to=<{}>", mail::quote_822_local(recipient_));
  } else if (transaction_ && transaction_->recipients == 1) {
    line += fmt::format(" to=<{}>", transaction_->first_recipient);
  }
  line += fmt::format(" proto={}", dialogue_.protocol());
  if (!dialogue_.helo().empty()) { line += fmt::format(" helo=<{}>", dialogue_.helo()); }
  log::info("{}", line);
}

net::Task<> Session::end_transaction() {
  if (transaction_ && transaction_->message) {
    const auto aborted = co_await transaction_->message->finish({.commit = false});
    if (!aborted) { log::warning("{}: {}", queue_id_or_none(), aborted.error().message()); }
  }
  transaction_.reset();
  overshoot_ = 0;
}

}  // namespace stagepost::smtpd
