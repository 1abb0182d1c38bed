#include "delivery/smtp/session.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "delivery/smtp/content.hpp"
#include "log/log.hpp"

namespace stagepost::smtp_client {
namespace {

// RFC 5321 §4.5.3.1.5 says 512 octets; real servers send more. A longer line ends the session.
constexpr std::size_t kReplyLineBytes = 8192;
constexpr std::size_t kContentChunkBytes = 64 * 1024;

using Opened = std::expected<void, OpenFailure>;
using Replied = std::expected<smtp::ServerReply, Failure>;
using Done = std::expected<void, Failure>;

std::unexpected<OpenFailure> plain(Failure failure) { return std::unexpected(OpenFailure{std::move(failure), false}); }

}  // namespace

Session::Session(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, const Settings& settings)
    : stream_(std::move(stream)), host_(std::move(host)), relay_(std::move(relay)), settings_(settings) {}

net::Task<Replied> Session::read_reply(Step step, Deadline deadline) {
  smtp::ReplyParser parser;
  for (;;) {
    const auto line = co_await stream_.read_line(kReplyLineBytes, deadline);
    if (!line) {
      usable_ = false;
      co_return std::unexpected(broke_off(host_, line.error(), step));
    }
    switch (parser.feed(line->text)) {
      case smtp::ReplyParser::State::more:
        break;
      case smtp::ReplyParser::State::complete:
        if (parser.reply().code == 421) { usable_ = false; }
        co_return parser.reply();
      case smtp::ReplyParser::State::malformed:
        log::warning("{}: non-{} response: {}", host_, settings_.protocol == Protocol::lmtp ? "LMTP" : "SMTP",
                     printable(line->text.substr(0, 100)));
        usable_ = false;
        co_return std::unexpected(malformed(host_, step));
      case smtp::ReplyParser::State::too_long:
        usable_ = false;
        co_return std::unexpected(malformed(host_, step));
    }
  }
}

net::Task<Replied> Session::command(std::string line, Step step, std::chrono::seconds timeout) {
  const Deadline deadline = within(timeout);
  const auto sent = co_await stream_.write(line + "\r\n", deadline);
  Result<> flushed;
  if (sent) { flushed = co_await stream_.flush(deadline); }
  if (!sent || !flushed) {
    usable_ = false;
    co_return std::unexpected(broke_off(host_, sent ? flushed.error() : sent.error(), step));
  }
  auto reply = co_await read_reply(step, deadline);
  co_return reply;
}

net::Task<Done> Session::greet() {
  const auto greeting = co_await read_reply(Step::greeting, within(settings_.helo_timeout));
  if (!greeting) { co_return std::unexpected(greeting.error()); }
  if (greeting->reply_class() != 2) {
    co_return std::unexpected(refused(host_, *greeting, settings_.skip_5xx_greeting));
  }
  // Without "ESMTP" in the greeting EHLO is only tried with smtp_always_send_ehlo.
  const bool announced = std::ranges::any_of(text::split(greeting->text, " \t\n"),
                                             [](std::string_view word) { return text::iequals(word, "ESMTP"); });
  server_speaks_esmtp_ = !settings_.never_send_ehlo && (settings_.always_send_ehlo || announced);
  co_return Done{};
}

net::Task<Done> Session::say_hello(bool esmtp) {
  server_ = {};
  const bool lmtp = settings_.protocol == Protocol::lmtp;
  if (esmtp) {
    const Step step = lmtp ? Step::lhlo : Step::ehlo;
    const auto reply = co_await command((lmtp ? "LHLO " : "EHLO ") + settings_.helo_name, step, settings_.helo_timeout);
    if (!reply) { co_return std::unexpected(reply.error()); }
    if (reply->reply_class() == 2) {
      server_ = smtp::parse_ehlo(*reply, settings_.discard_keywords);
      co_return Done{};
    }
    if (reply->reply_class() != 5 || reply->code == 421 || lmtp) {
      co_return std::unexpected(refused(host_, *reply, false));
    }
  }
  const auto reply = co_await command("HELO " + settings_.helo_name, Step::helo, settings_.helo_timeout);
  if (!reply) { co_return std::unexpected(reply.error()); }
  if (reply->reply_class() != 2) { co_return std::unexpected(refused(host_, *reply, false)); }
  co_return Done{};
}

net::Task<Opened> Session::start_tls(const tls::ClientPolicy& policy, std::shared_ptr<const tls::ClientContext> context,
                                     std::string server_name) {
  const bool mandatory = tls::is_mandatory(policy.level);
  const auto reply = co_await command("STARTTLS", Step::starttls, settings_.starttls_timeout);
  if (!reply) { co_return plain(reply.error()); }
  if (reply->reply_class() != 2) {
    // Opportunistic: go on in plaintext, in the same session.
    if (!mandatory && usable_) { co_return Opened{}; }
    Failure failure = refused(host_, *reply, false);
    failure.permanent = false;
    failure.status = {
        dsn::with_class(smtp::to_status(*reply).code, '4'),
        fmt::format("TLS is required, but host {} refused to start TLS: {}", host_, one_line(reply->text))};
    co_return plain(std::move(failure));
  }
  // What a server sent ahead of the handshake was not protected by it (RFC 3207 §4.2).
  stream_.discard_input();
  auto established = co_await tls::connect(std::move(context), policy, stream_.release_transport(), relay_,
                                           std::move(server_name), within(settings_.starttls_timeout));
  if (!established) {
    usable_ = false;
    Failure failure = temporary("4.7.5", "Cannot start TLS: handshake failure");
    co_return std::unexpected(OpenFailure{std::move(failure), !mandatory});
  }
  stream_.set_transport(std::move(established->stream));
  auto hello = co_await say_hello(true);
  if (!hello) { co_return plain(std::move(hello.error())); }
  co_return Opened{};
}

net::Task<Opened> Session::open(const tls::ClientPolicy& policy, std::shared_ptr<const tls::ClientContext> context,
                                std::string server_name) {
  auto greeted = co_await greet();
  if (!greeted) { co_return plain(std::move(greeted.error())); }
  auto hello = co_await say_hello(server_speaks_esmtp_);
  if (!hello) { co_return plain(std::move(hello.error())); }
  if (policy.level == tls::Level::none) { co_return Opened{}; }
  const bool mandatory = tls::is_mandatory(policy.level);
  if (!server_.has(smtp::Feature::starttls)) {
    if (!mandatory) { co_return Opened{}; }
    co_return plain(temporary("4.7.4", fmt::format("TLS is required, but was not offered by host {}", host_)));
  }
  if (context == nullptr) {
    if (!mandatory) { co_return Opened{}; }
    co_return plain(temporary("4.7.5", "TLS is required, but our TLS engine is unavailable"));
  }
  auto secured = co_await start_tls(policy, std::move(context), std::move(server_name));
  co_return secured;
}

std::chrono::seconds Session::timeout_of(Step step) const {
  switch (step) {
    case Step::mail:
      return settings_.mail_timeout;
    case Step::rcpt:
      return settings_.rcpt_timeout;
    case Step::data:
      return settings_.data_init_timeout;
    case Step::end_of_data:
      return settings_.data_done_timeout;
    default:
      return settings_.helo_timeout;
  }
}

net::Task<std::optional<Failure>> Session::send_content(delivery::Attempt& attempt, bool convert_to_7bit) {
  const auto positioned = attempt.reader().rewind_content(attempt.envelope());
  if (!positioned) {
    usable_ = false;
    co_return temporary("4.3.0", "unreadable queue file: " + positioned.error().message());
  }
  ContentSource source(attempt.reader(), convert_to_7bit ? Conversion::to_7bit : Conversion::none,
                       settings_.line_length_limit);
  std::string chunk;
  bool more = true;
  while (more) {
    chunk.clear();
    const auto read = source.read(chunk, kContentChunkBytes);
    if (!read) {
      // The message is cut short: closing without the final dot makes the server forget it (RFC 5321 §4.1.1.4).
      usable_ = false;
      stream_.close();
      co_return temporary("4.3.0", "unreadable queue file: " + read.error().message());
    }
    more = *read;
    // The last piece leaves together with the dot: no small packet that waits for an ACK.
    const Deadline deadline = within(settings_.data_xfer_timeout);
    const auto written = co_await stream_.write(chunk, deadline);
    Result<> flushed;
    if (written) { flushed = co_await stream_.flush(deadline); }
    if (!written || !flushed) {
      usable_ = false;
      co_return broke_off(host_, written ? flushed.error() : written.error(), Step::body);
    }
  }
  co_return std::nullopt;
}

void Session::append_commands(Transaction& transaction) {
  while (const auto line = transaction.next_command()) {
    stream_.append(*line);
    stream_.append("\r\n");
  }
}

net::Task<bool> Session::wake(Transaction& transaction) {
  if (!usable_) { co_return false; }
  if (!server_.has(smtp::Feature::pipelining)) {
    const bool alive = co_await reset();
    co_return alive;
  }
  stream_.append("RSET\r\n");
  append_commands(transaction);
  const Deadline deadline = within(settings_.rset_timeout);
  const auto flushed = co_await stream_.flush(deadline);
  if (flushed) {
    const auto reply = co_await read_reply(Step::rset, deadline);
    if (reply && reply->reply_class() == 2) { co_return usable_; }
  }
  // Whatever it makes of the rest: without the final dot it has no message.
  usable_ = false;
  stream_.close();
  co_return false;
}

net::Task<bool> Session::transact(Transaction& transaction, delivery::Attempt& attempt, bool convert_to_7bit) {
  using Phase = Transaction::Phase;
  if (uses > 0) {
    const bool alive = co_await wake(transaction);
    if (!alive) { co_return false; }
  }
  ++uses;
  while (transaction.phase() != Phase::done) {
    if (transaction.phase() == Phase::content) {
      const auto failure = co_await send_content(attempt, convert_to_7bit);
      if (failure) {
        transaction.on_broken(*failure);
        break;
      }
      transaction.content_sent();
      continue;
    }
    if (transaction.phase() == Phase::dot_only) {
      stream_.append(".\r\n");
      transaction.content_sent();
    }
    append_commands(transaction);
    const auto step = transaction.awaited();
    if (!step) { break; }
    const Deadline deadline = within(timeout_of(*step));
    const auto flushed = co_await stream_.flush(deadline);
    if (!flushed) {
      usable_ = false;
      transaction.on_broken(broke_off(host_, flushed.error(), *step));
      break;
    }
    const auto reply = co_await read_reply(*step, deadline);
    if (!reply) {
      transaction.on_broken(reply.error());
      break;
    }
    transaction.on_reply(*reply);
  }
  if (transaction.server_closing()) { usable_ = false; }
  if (usable_ && transaction.needs_reset()) { [[maybe_unused]] const bool clean = co_await reset(); }
  co_return true;
}

net::Task<bool> Session::reset() {
  if (!usable_) { co_return false; }
  const auto reply = co_await command("RSET", Step::rset, settings_.rset_timeout);
  if (!reply || reply->reply_class() != 2) { usable_ = false; }
  co_return usable_;
}

net::Task<> Session::quit() {
  if (usable_) {
    usable_ = false;
    const Deadline deadline = within(settings_.quit_timeout);
    stream_.append("QUIT\r\n");
    const auto sent = co_await stream_.flush(deadline);
    if (sent && !settings_.skip_quit_response) {
      [[maybe_unused]] const auto bye = co_await read_reply(Step::quit, deadline);
    }
  }
  stream_.close();
}

}  // namespace stagepost::smtp_client
