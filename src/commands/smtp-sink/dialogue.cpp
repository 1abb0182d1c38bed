#include "commands/smtp-sink/dialogue.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace stagepost::smtp_sink {
namespace {

// Arguments kept of one message; more are counted and accepted, but not written to its file.
constexpr std::size_t kKeptRecipients = 100000;

constexpr std::string_view kUnknown = "500 5.5.1 Error: unknown command\r\n";

// "FROM:<a> SIZE=1" without what is in front of the address.
std::string_view after_colon(std::string_view argument) {
  const auto colon = argument.find(':');
  return text::trim(colon == std::string_view::npos ? argument : argument.substr(colon + 1));
}

}  // namespace

Dialogue::Step Dialogue::greeting(std::string& reply) {
  Step step{.command = Command::connect};
  if (misbehave(step, reply)) { return step; }
  reply += "220 ";
  reply += options_.pix ? "********" : options_.hostname;
  if (options_.esmtp && !options_.pix) { reply += " ESMTP"; }
  reply += "\r\n";
  return step;
}

bool Dialogue::misbehave(Step& step, std::string& reply) const {
  const Behaviour& behaviour = of(options_.behaviours, step.command);
  if (behaviour.disconnect || behaviour.disconnect_421) {
    if (!behaviour.disconnect) { reply += "421 4.0.0 Server closing connection\r\n"; }
    step.next = Next::close;
    return true;
  }
  if (!behaviour.reject_hard && !behaviour.reject_soft) { return false; }
  reply += behaviour.reject_hard ? options_.hard_reply : options_.soft_reply;
  reply += "\r\n";
  return true;
}

void Dialogue::announce(std::string& reply) const {
  const auto line = [&](bool wanted, std::string_view text) {
    if (wanted) { reply.append("250-").append(text).append("\r\n"); }
  };
  line(true, options_.hostname);
  line(options_.pipelining, "PIPELINING");
  line(options_.eightbit, "8BITMIME");
  line(options_.auth, "AUTH PLAIN LOGIN");
  line(options_.xclient, "XCLIENT NAME HELO");
  line(options_.xforward, "XFORWARD NAME ADDR PROTO HELO");
  line(options_.enhanced_status_codes, "ENHANCEDSTATUSCODES");
  line(options_.dsn, "DSN");
  reply += "250 \r\n";
}

void Dialogue::end_transaction() {
  in_transaction_ = false;
  envelope_.mail.clear();
  envelope_.recipients.clear();
  envelope_.recipient_count = 0;
}

void Dialogue::answer(Step& step, std::string& reply) {
  switch (step.command) {
    case Command::helo:
      extended_ = false;
      envelope_.helo = step.argument;
      reply.append("250 ").append(options_.hostname).append("\r\n");
      return;
    case Command::ehlo:
    case Command::lhlo:
      extended_ = true;
      envelope_.helo = step.argument;
      announce(reply);
      return;
    case Command::mail:
      if (in_transaction_) {
        reply += "503 5.5.1 Error: nested MAIL command\r\n";
        return;
      }
      in_transaction_ = true;
      if (options_.captures()) { envelope_.mail = after_colon(step.argument); }
      reply += "250 2.1.0 Ok\r\n";
      return;
    case Command::rcpt:
      if (!in_transaction_) {
        reply += "503 5.5.1 Error: need MAIL command\r\n";
        return;
      }
      ++envelope_.recipient_count;
      if (options_.captures() && envelope_.recipients.size() < kKeptRecipients) {
        envelope_.recipients.emplace_back(after_colon(step.argument));
      }
      reply += "250 2.1.5 Ok\r\n";
      return;
    case Command::data:
      if (envelope_.recipient_count == 0) {
        reply += "503 5.5.1 Error: need RCPT command\r\n";
        return;
      }
      reply += "354 End data with <CR><LF>.<CR><LF>\r\n";
      step.next = options_.abort_delay ? Next::abort_data : Next::receive_data;
      return;
    case Command::rset:
      end_transaction();
      reply += "250 2.1.0 Ok\r\n";
      return;
    case Command::quit:
      reply += "221 Bye\r\n";
      step.next = Next::close;
      return;
    default:
      reply += "250 2.0.0 Ok\r\n";
  }
}

Dialogue::Step Dialogue::command(std::string_view line, std::string& reply) {
  line = text::trim(line);
  if (line.empty()) {
    reply += "500 5.5.2 Error: unknown command\r\n";
    return {};
  }
  const std::string_view word = line.substr(0, std::min(line.find_first_of(" \t"), line.size()));
  Step step{.command = command_named(word), .argument = text::trim(line.substr(word.size()))};
  const bool smtp_greeting = step.command == Command::helo || step.command == Command::ehlo;
  const bool known = step.command != Command::unknown && step.command != Command::connect &&
                     (step.command != Command::ehlo || options_.esmtp) && (!smtp_greeting || !options_.lmtp) &&
                     (step.command != Command::lhlo || options_.lmtp) &&
                     (step.command != Command::xclient || options_.xclient) &&
                     (step.command != Command::xforward || options_.xforward);
  if (!known) {
    step.command = Command::unknown;
    reply += kUnknown;
    return step;
  }
  if (!misbehave(step, reply)) { answer(step, reply); }
  return step;
}

Dialogue::Step Dialogue::end_of_data(std::string& reply) {
  Step step{.command = Command::dot};
  // LMTP answers for each recipient (RFC 2033 §4.2).
  const std::uint64_t replies = options_.lmtp ? envelope_.recipient_count : 1;
  for (std::uint64_t i = 0; i < replies && step.next == Next::go_on; ++i) {
    if (!misbehave(step, reply)) { reply += options_.lmtp ? "250 2.2.0 Ok\r\n" : "250 2.0.0 Ok\r\n"; }
  }
  end_transaction();
  return step;
}

}  // namespace stagepost::smtp_sink
