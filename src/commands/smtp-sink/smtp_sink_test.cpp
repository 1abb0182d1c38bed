#include <vector>

#include <gtest/gtest.h>

#include "commands/smtp-sink/capture.hpp"
#include "commands/smtp-sink/dialogue.hpp"
#include "commands/smtp-sink/end_of_data.hpp"
#include "commands/smtp-sink/options.hpp"
#include "commands/smtp-sink/stamp.hpp"

namespace stagepost::smtp_sink {
namespace {

Result<Options> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "smtp-sink");
  words.insert(words.end(), {"[::1]:2525", "10"});
  std::vector<char*> argv;
  for (std::string& word : words) { argv.push_back(word.data()); }
  argv.push_back(nullptr);
  return parse_options(static_cast<int>(words.size()), argv.data());
}

TEST(SmtpSinkEndOfData, IsFoundHoweverTheBytesAreSplit) {
  struct Case {
    std::string bytes;
    std::size_t end;
  };
  const std::vector<Case> cases{
      {".\r\nQUIT", 3},     {"a\r\n.\r\nrest", 6}, {"a\n.\n\n.\r\n\r\n.\r\n", 13}, {"..\r\n\r\n.x\r\n.\r\r\n.\r\n", 17},
      {"\r\n\r\n.\r\n", 7}, {"x\r.\r\n.\r\n", 8},
  };
  for (const auto& [bytes, end] : cases) {
    EXPECT_EQ(EndOfData().find(bytes), end) << bytes;
    for (std::size_t split = 0; split <= bytes.size(); ++split) {
      EndOfData finder;
      const auto first = finder.find(std::string_view(bytes).substr(0, split));
      if (split >= end) {
        EXPECT_EQ(first, end);
        continue;
      }
      EXPECT_EQ(first, std::nullopt) << bytes << " " << split;
      EXPECT_EQ(finder.find(std::string_view(bytes).substr(split)), end - split) << bytes << " " << split;
    }
  }
}

TEST(SmtpSinkEndOfData, IsReadyForTheNextMessage) {
  EndOfData finder;
  EXPECT_EQ(finder.find("a\r\n.\r\n"), 6U);
  EXPECT_EQ(finder.find(".\r\n"), 3U);
}

TEST(SmtpSinkContent, IsStoredWithoutSmtpsDotsByteByByte) {
  const std::string wire = "Subject: x\r\n\r\n..dot\r\nb\rc\nd\r\n.\r\n";
  const std::string stored = "Subject: x\n\n.dot\nb\rc\nd\n\n";
  std::string out;
  ContentDecoder().append(wire, out);
  EXPECT_EQ(out, stored);
  out.clear();
  ContentDecoder decoder;
  for (const char byte : wire) { decoder.append(std::string_view(&byte, 1), out); }
  EXPECT_EQ(out, stored);
}

TEST(SmtpSinkStamp, IsReadFromTheBeginningOnly) {
  StampReader reader;
  EXPECT_FALSE(reader.sent());
  reader.add("Received: x\r\nX-Stagepost-Se");
  reader.add("nt: 1234\r\n");
  EXPECT_EQ(reader.sent()->time_since_epoch().count(), 1234);
  reader.restart();
  reader.add(std::string(9000, 'x') + "\nX-Stagepost-Sent: 1\r\n");
  EXPECT_FALSE(reader.sent());
  reader.restart();
  reader.add("X-Stagepost-Sent: 99999999999999999999\r\n");
  EXPECT_FALSE(reader.sent());
}

std::string reply_to(Dialogue& dialogue, std::string_view line) {
  std::string reply;
  static_cast<void>(dialogue.command(line, reply));
  return reply;
}

TEST(SmtpSinkDialogue, RepliesAsPostfixsProgramDoes) {
  const auto options = parse({}).value();
  Dialogue dialogue(options);
  struct Case {
    std::string line;
    std::string reply;
  };
  const std::vector<Case> cases{
      {"FOO", "500 5.5.1 Error: unknown command\r\n"},
      {"", "500 5.5.2 Error: unknown command\r\n"},
      {"CONNECT", "500 5.5.1 Error: unknown command\r\n"},
      {"RCPT TO:<a>", "503 5.5.1 Error: need MAIL command\r\n"},
      {"ehlo a b",
       "250-smtp-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250-XCLIENT NAME HELO\r\n"
       "250-XFORWARD NAME ADDR PROTO HELO\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 \r\n"},
      {"LHLO a", "500 5.5.1 Error: unknown command\r\n"},
      {"MAIL FROM:<a>", "250 2.1.0 Ok\r\n"},
      {"MAIL FROM:<a>", "503 5.5.1 Error: nested MAIL command\r\n"},
      {"DATA", "503 5.5.1 Error: need RCPT command\r\n"},
      {"RSET", "250 2.1.0 Ok\r\n"},
      {"MAIL", "250 2.1.0 Ok\r\n"},
      {"RCPT TO:<a>", "250 2.1.5 Ok\r\n"},
      {"VRFY a", "250 2.0.0 Ok\r\n"},
      {".", "250 2.0.0 Ok\r\n"},
      {"DATA", "354 End data with <CR><LF>.<CR><LF>\r\n"},
  };
  for (const auto& [line, reply] : cases) { EXPECT_EQ(reply_to(dialogue, line), reply) << line; }
  std::string reply;
  EXPECT_EQ(dialogue.end_of_data(reply).next, Dialogue::Next::go_on);
  EXPECT_EQ(reply, "250 2.0.0 Ok\r\n");
  EXPECT_EQ(reply_to(dialogue, "DATA"), "503 5.5.1 Error: need RCPT command\r\n");
  reply.clear();
  EXPECT_EQ(dialogue.command("quit now", reply).next, Dialogue::Next::close);
  EXPECT_EQ(reply, "221 Bye\r\n");
}

TEST(SmtpSinkDialogue, LmtpRepliesForEachRecipient) {
  const auto options = parse({"-L"}).value();
  Dialogue dialogue(options);
  EXPECT_EQ(reply_to(dialogue, "EHLO a"), "500 5.5.1 Error: unknown command\r\n");
  for (const char* line : {"LHLO a", "MAIL FROM:<a>", "RCPT TO:<a>", "RCPT TO:<b>", "DATA"}) {
    EXPECT_TRUE(reply_to(dialogue, line).starts_with(line[0] == 'D' ? '3' : '2'));
  }
  std::string reply;
  static_cast<void>(dialogue.end_of_data(reply));
  EXPECT_EQ(reply, "250 2.2.0 Ok\r\n250 2.2.0 Ok\r\n");
  EXPECT_EQ(dialogue.protocol(), "LMTP");
}

TEST(SmtpSinkDialogue, MisbehavesOnRequest) {
  const auto options =
      parse({"-f", "rcpt , VRFY", "-r", "noop", "-q", "data", "-Q", ".,connect", "-B", "554 no"}).value();
  Dialogue dialogue(options);
  std::string reply;
  EXPECT_EQ(dialogue.greeting(reply).next, Dialogue::Next::close);
  EXPECT_EQ(reply, "421 4.0.0 Server closing connection\r\n");
  EXPECT_EQ(reply_to(dialogue, "RCPT TO:<a>"), "554 no\r\n");
  EXPECT_EQ(reply_to(dialogue, "vrfy"), "554 no\r\n");
  EXPECT_EQ(reply_to(dialogue, "NOOP"), "450 4.3.0 Error: command failed\r\n");
  EXPECT_EQ(reply_to(dialogue, "DATA"), "");
  EXPECT_EQ(reply_to(dialogue, "EHLO x").find("PIPELINING"), std::string::npos);
}

TEST(SmtpSinkOptions, BadValuesAreNamed) {
  struct Case {
    std::vector<std::string> words;
    std::string message;
  };
  const std::vector<Case> cases{
      {{"-f", "foo"}, "unknown command: foo"},
      {{"-W", "noop:x"}, "bad delay for 'noop': x"},
      {{"-W", "noop:1:100"}, "bad delay odds for 'noop': 100"},
      {{"-W", "noop"}, "-W needs command:delay[:odds]: noop"},
      {{"-B", "200 x"}, "bad hard error reply: 200 x"},
      {{"-b", "450 a\r\nb"}, "bad soft error reply: 450 a"},
      {{"-m", "0"}, "bad concurrency limit: 0"},
      {{"-M", "0"}, "bad message quit count: 0"},
      {{"--rate", "0"}, "bad rate: 0"},
      {{"--nope"}, "usage: smtp-sink"},
  };
  for (const auto& [words, message] : cases) {
    const auto options = parse(words);
    ASSERT_FALSE(options) << message;
    EXPECT_NE(options.error().message().find(message), std::string::npos) << options.error().message();
  }
}

TEST(SmtpSinkOptions, AreUnderstood) {
  const auto options = parse({"-W", "rcpt:3:50", "-w", "2", "-S", "a\\n\\101\\q\\", "-t", "7"}).value();
  EXPECT_EQ(options.host, "::1");
  EXPECT_EQ(options.port, "2525");
  EXPECT_EQ(options.backlog, 10);
  EXPECT_EQ(of(options.behaviours, Command::rcpt).delay.count(), 3);
  EXPECT_EQ(of(options.behaviours, Command::rcpt).delay_odds, 50);
  EXPECT_EQ(of(options.behaviours, Command::data).delay.count(), 2);
  EXPECT_EQ(options.start_string, "a\nAq\\");
  EXPECT_EQ(options.timeout.count(), 7);
}

}  // namespace
}  // namespace stagepost::smtp_sink
