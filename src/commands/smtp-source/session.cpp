#include "commands/smtp-source/session.hpp"

#include <cstdio>
#include <iterator>
#include <random>

#include <fmt/format.h>

#include "base/text.hpp"
#include "net/event.hpp"

namespace stagepost::smtp_source {
namespace {

constexpr std::chrono::seconds kTimeout{300};
constexpr std::size_t kReplyLineLimit = 4096;
constexpr std::size_t kReplyLimit = 100 * 1024;
// A small message goes out with its header in one write; of a large one the last part does, after the clock was read.
constexpr std::size_t kLastWriteBytes = 64 * 1024;

int reply_code(std::string_view line) {
  if (line.size() < 3) { return 0; }
  const auto code = text::parse_unsigned(line.substr(0, 3));
  return code ? static_cast<int>(*code) : 0;
}

bool positive(int code) { return code >= 200 && code < 300; }

}  // namespace

void Session::show(std::string_view prefix, std::string_view line) const {
  if (generator_->options.verbose) { fmt::print(stderr, "smtp-source: {}{}\n", prefix, line); }
}

void Session::lost(std::string_view what, const Error& error) {
  if (error.is(std::errc::operation_canceled)) { return; }
  generator_->fail(fmt::format("{} while {}", error.is(std::errc::timed_out) ? "timeout" : "lost connection", what));
}

net::Task<bool> Session::send(std::string_view bytes, std::string_view what) {
  const auto written = co_await stream_->transport().write_all(bytes, within(kTimeout));
  if (!written) { lost(what, written.error()); }
  co_return written.has_value();
}

net::Task<std::optional<int>> Session::read_reply(std::string_view what) {
  const Deadline deadline = within(kTimeout);
  reply_.clear();
  for (;;) {
    const auto line = co_await stream_->read_line(kReplyLineLimit, deadline);
    if (!line) {
      lost(what, line.error());
      co_return std::nullopt;
    }
    show("<<< ", line->text);
    if (!reply_.empty()) { reply_ += "; "; }
    reply_ += line->text;
    if (reply_.size() > kReplyLimit) {
      generator_->fail(fmt::format("reply without end while {}", what));
      co_return std::nullopt;
    }
    if (line->text.size() <= 3 || line->text[3] != '-') { co_return reply_code(line->text); }
  }
}

net::Task<std::optional<int>> Session::exchange(std::string_view what) {
  show("", std::string_view(command_).substr(0, command_.size() - 2));
  const bool sent = co_await send(command_, what);
  if (!sent) { co_return std::nullopt; }
  const auto code = co_await read_reply(what);
  co_return code;
}

net::Task<bool> Session::pause(SteadyClock::time_point due) {
  const Options& options = generator_->options;
  std::chrono::milliseconds length = options.fixed_pause;
  if (options.random_pause.count() > 0) {
    static std::minstd_rand random{std::random_device{}()};
    const auto most = std::chrono::milliseconds(options.random_pause).count();
    length += std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(0, most)(random));
  }
  if (length.count() > 0) { due = std::max(due, SteadyClock::now() + length); }
  if (due > SteadyClock::now()) {
    const auto slept = co_await net::sleep_until(Deadline(due));
    if (!slept) { co_return false; }
  }
  co_return !generator_->ended();
}

net::Task<bool> Session::start_tls() {
  command_ = "STARTTLS\r\n";
  const auto code = co_await exchange("sending STARTTLS");
  if (!code) { co_return false; }
  if (!positive(*code)) {
    // There is nothing to measure without TLS, so this ends the run also with -A.
    generator_->fail(fmt::format("STARTTLS rejected: {}", reply_));
    co_return false;
  }
  if (!stream_->buffered().empty()) {
    generator_->fail("the server sent more than its reply to STARTTLS");
    co_return false;
  }
  tls::ClientPolicy policy;
  policy.level = tls::Level::encrypt;
  policy.ciphers = "DEFAULT";
  auto established = co_await tls::connect(generator_->tls_context, policy, stream_->release_transport(), "server",
                                           std::string(), within(kTimeout));
  if (!established) {
    lost("starting TLS", established.error());
    co_return false;
  }
  stream_ = std::make_unique<net::BufferedStream>(std::move(established->stream));
  command_ = fmt::format("EHLO {}\r\n", generator_->options.hostname);
  const auto greeted = co_await exchange("sending EHLO");
  if (!greeted) { co_return false; }
  co_return positive(*greeted) || generator_->rejected("EHLO rejected", reply_);
}

net::Task<bool> Session::greet() {
  const Options& options = generator_->options;
  const auto banner = co_await read_reply("receiving server greeting");
  if (!banner) { co_return false; }
  if (!positive(*banner) && !generator_->rejected("rejected at server banner", reply_)) { co_return false; }
  if (options.old_mode) { co_return true; }
  // HELO as Postfix's program sends; what follows on EHLO is needed for TLS only.
  const std::string_view verb = options.lmtp ? "LHLO" : options.starttls || options.hold ? "EHLO" : "HELO";
  command_ = fmt::format("{} {}\r\n", verb, options.hostname);
  const auto greeted = co_await exchange(fmt::format("sending {}", verb));
  if (!greeted) { co_return false; }
  if (!positive(*greeted) && !generator_->rejected(fmt::format("{} rejected", verb), reply_)) { co_return false; }
  if (options.starttls) {
    const bool secured = co_await start_tls();
    co_return secured;
  }
  co_return true;
}

net::Task<bool> Session::open() {
  auto connected = co_await generator_->connector.connect(within(kTimeout));
  if (!connected) {
    if (!connected.error().is(std::errc::operation_canceled)) { generator_->fail(connected.error().message()); }
    co_return false;
  }
  ++generator_->counts.connections;
  stream_ = std::make_unique<net::BufferedStream>(*std::move(connected));
  const bool greeted = co_await greet();
  co_return greeted;
}

net::Task<Session::Outcome> Session::content(std::uint64_t number) {
  Generator& generator = *generator_;
  command_.clear();
  generator.content.append_header(generator.options, id_, number, command_);
  std::string_view body = generator.content.body();
  if (command_.size() + body.size() > kLastWriteBytes) {
    const bool header_sent = co_await send(command_, "sending message");
    if (!header_sent) { co_return Outcome::failed; }
    command_.clear();
    const std::size_t first = body.size() - std::min(body.size(), kLastWriteBytes);
    const bool most_sent = co_await send(body.substr(0, first), "sending message");
    if (!most_sent) { co_return Outcome::failed; }
    body.remove_prefix(first);
  }
  command_ += body;
  const auto sent_at = SteadyClock::now();
  show("", ".");
  const bool sent = co_await send(command_, "sending end of data");
  if (!sent) { co_return Outcome::failed; }
  // LMTP answers once for each recipient.
  const std::uint64_t replies = generator.options.lmtp ? generator.options.recipients : 1;
  bool accepted = true;
  for (std::uint64_t i = 0; i < replies; ++i) {
    const auto code = co_await read_reply("sending end of data");
    if (!code) { co_return Outcome::failed; }
    if (positive(*code)) { continue; }
    accepted = false;
    if (!generator.rejected("end of data rejected", reply_)) { co_return Outcome::failed; }
  }
  if (!accepted) { co_return Outcome::refused; }
  generator.accepted(SteadyClock::now() - sent_at);
  co_return Outcome::sent;
}

net::Task<Session::Outcome> Session::transaction(std::uint64_t number) {
  Generator& generator = *generator_;
  const Options& options = generator.options;
  std::string_view refused;
  command_.clear();
  fmt::format_to(std::back_inserter(command_), "MAIL FROM:<{}>\r\n", options.sender);
  auto code = co_await exchange("sending MAIL FROM");
  if (!code) { co_return Outcome::failed; }
  if (!positive(*code)) { refused = "sender rejected"; }
  for (std::uint64_t i = 0; i < options.recipients && refused.empty(); ++i) {
    command_.clear();
    append_recipient(options, i, generator.recipient_sequence, command_);
    code = co_await exchange("sending RCPT TO");
    if (!code) { co_return Outcome::failed; }
    if (!positive(*code)) { refused = "recipient rejected"; }
  }
  if (refused.empty()) {
    command_ = "DATA\r\n";
    code = co_await exchange("sending DATA command");
    if (!code) { co_return Outcome::failed; }
    if (*code != 354) { refused = "data command rejected"; }
  }
  if (refused.empty()) {
    const auto outcome = co_await content(number);
    co_return outcome;
  }
  if (!generator.rejected(refused, reply_)) { co_return Outcome::failed; }
  if (*code == 421) {
    // The server closes; there is nothing left to reset.
    stream_.reset();
    co_return Outcome::refused;
  }
  command_ = "RSET\r\n";
  code = co_await exchange("sending RSET");
  co_return code ? Outcome::refused : Outcome::failed;
}

net::Task<> Session::quit() {
  command_ = "QUIT\r\n";
  const auto code = co_await exchange("sending QUIT");
  // The server closes first, so that the wait for late packets (TIME_WAIT) does not keep our port.
  if (code) { const auto end = co_await stream_->peek(within(std::chrono::seconds(5))); }
  stream_.reset();
}

net::Task<> Session::run() {
  for (;;) {
    const auto turn = generator_->next();
    if (!turn) { break; }
    const bool on = co_await pause(turn->due);
    if (!on) { break; }
    if (!stream_) {
      const bool opened = co_await open();
      if (!opened) { co_return; }
    }
    const auto outcome = co_await transaction(turn->number);
    if (outcome == Outcome::failed) { co_return; }
    if (!generator_->options.reuse_connection && stream_) { co_await quit(); }
  }
  if (stream_ && !generator_->failure()) { co_await quit(); }
}

}  // namespace stagepost::smtp_source
