// A server that answers anything: the client's transaction ends, everybody has a fate, and nobody is called delivered
// or returned to the sender without the server having said so in the right place. The first octet of an input chooses
// what the transaction is like, the second how many recipients it has; the rest is what the server says.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "delivery/smtp/transaction.hpp"
#include "mail/reply.hpp"

namespace {

using namespace stagepost;
using namespace stagepost::smtp_client;
using Phase = Transaction::Phase;

/// What the server said to what, kept apart from the code under test.
struct Record {
  std::vector<int> sent;  ///< commands without an answer: -1 MAIL, -2 DATA, the recipient's number otherwise
  std::vector<int> rcpt;  ///< class of the answer to each RCPT, 0: none
  int data = 0;
  std::vector<int> final;
  bool permanent = false;  ///< a 5xx was said
};

void take_commands(Transaction& transaction, Record& record, bool pipelining) {
  while (const auto command = transaction.next_command()) {
    SP_ASSERT(command->find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
    if (command->starts_with("MAIL FROM:")) {
      record.sent.push_back(-1);
    } else if (*command == "DATA") {
      record.sent.push_back(-2);
    } else {
      SP_ASSERT(command->starts_with("RCPT TO:<r"));
      record.sent.push_back(static_cast<int>(record.rcpt.size()));
      record.rcpt.push_back(0);
    }
    SP_ASSERT(pipelining || record.sent.size() == 1);
  }
}

void note(Record& record, const smtp::ServerReply& reply) {
  const int digit = reply.reply_class();
  record.permanent = record.permanent || digit == 5;
  if (record.sent.empty()) {
    record.final.push_back(digit);
    return;
  }
  const int command = record.sent.front();
  record.sent.erase(record.sent.begin());
  if (command == -2) { record.data = digit; }
  if (command >= 0) { record.rcpt[static_cast<std::size_t>(command)] = digit; }
}

void check(const Transaction& transaction, const Record& record, bool lmtp, bool probe, bool probe_data) {
  std::size_t accepted_before = 0;
  for (std::size_t i = 0; i < transaction.fates().size(); ++i) {
    const auto& fate = transaction.fates()[i];
    SP_ASSERT(fate.has_value());
    const bool accepted = i < record.rcpt.size() && record.rcpt[i] == 2;
    if (fate->delivered) {
      SP_ASSERT(accepted);
      if (!probe) {
        SP_ASSERT(record.data == 3);
        const std::size_t index = lmtp ? accepted_before : 0;
        SP_ASSERT(index < record.final.size() && record.final[index] == 2);
      } else if (probe_data) {
        SP_ASSERT(record.data == 3);
      }
    } else {
      SP_ASSERT(!fate->failure.permanent || record.permanent);
      SP_ASSERT(!fate->failure.status.code.empty());
    }
    if (accepted) { ++accepted_before; }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 32 * 1024) { return 0; }
  const unsigned flags = data[0];
  const bool pipelining = (flags & 1U) != 0;
  const bool lmtp = (flags & 2U) != 0;
  const bool probe = (flags & 4U) != 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 2), size - 2);

  Settings settings;
  settings.protocol = lmtp ? Protocol::lmtp : Protocol::smtp;
  settings.verify_at_data = (flags & 8U) != 0;
  smtp::Capabilities server;
  if (pipelining) { server.features |= static_cast<std::uint32_t>(smtp::Feature::pipelining); }
  Envelope envelope{.sender = "s@example.org", .size_bytes = 100, .dsn_envid = {}, .probe = probe, .recipients = {}};
  for (unsigned i = 0; i <= data[1] % 8U; ++i) {
    envelope.recipients.push_back({.address = "r" + std::to_string(i) + "@example.org", .dsn_original = {}});
  }
  Transaction transaction(std::move(envelope), server, settings, "mx.test[192.0.2.1]");

  Record record;
  smtp::ReplyParser parser;
  for (const std::string_view line : text::split_exact(input, '\n')) {
    take_commands(transaction, record, pipelining);
    if (transaction.phase() == Phase::content || transaction.phase() == Phase::dot_only) {
      SP_ASSERT(record.sent.empty());
      transaction.content_sent();
    }
    if (transaction.phase() == Phase::done) { break; }
    SP_ASSERT(transaction.awaited().has_value());
    const auto state = parser.feed(line);
    if (state == smtp::ReplyParser::State::more) { continue; }
    if (state != smtp::ReplyParser::State::complete) { break; }
    note(record, parser.reply());
    transaction.on_reply(parser.reply());
    parser.reset();
  }
  if (transaction.phase() != Phase::done) { transaction.on_broken(temporary("4.4.2", "lost connection")); }
  SP_ASSERT(!transaction.next_command().has_value());
  check(transaction, record, lmtp, probe, settings.verify_at_data);
  return 0;
}
