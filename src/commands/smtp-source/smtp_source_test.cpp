#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "commands/smtp-source/message.hpp"
#include "commands/smtp-source/options.hpp"

namespace stagepost::smtp_source {
namespace {

Result<Options> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "smtp-source");
  std::vector<char*> argv;
  for (std::string& word : words) { argv.push_back(word.data()); }
  argv.push_back(nullptr);
  return parse_options(static_cast<int>(words.size()), argv.data());
}

TEST(SmtpSourceBody, HasExactlyTheWantedLengthInNumberedLines) {
  EXPECT_EQ(numbered_body(1), "X\r\n");
  EXPECT_EQ(numbered_body(80), std::string(80, 'X') + "\r\n");
  EXPECT_EQ(numbered_body(81), "1" + std::string(77, 'X') + "\r\nX\r\n");
  for (const std::size_t length : {79U, 80U, 81U, 160U, 161U, 4096U, 1000000U}) {
    EXPECT_EQ(numbered_body(length).size(), length + 2) << length;
  }
}

TEST(SmtpSourceBody, FilesGetCrlfAndDoubledDots) {
  EXPECT_EQ(wire_form("a\n.\n..b\r\nlast"), "a\r\n..\r\n...b\r\nlast\r\n");
  EXPECT_EQ(wire_form(""), "");
  EXPECT_EQ(wire_form("\n\n"), "\r\n\r\n");
}

TEST(SmtpSourceRecipients, CountDownToTheAddressAsGiven) {
  Options options;
  options.recipient = "u@d";
  options.recipients = 3;
  std::uint64_t sequence = 0;
  std::string out;
  for (std::uint64_t i = 0; i < 3; ++i) { append_recipient(options, i, sequence, out); }
  EXPECT_EQ(out, "RCPT TO:<3u@d>\r\nRCPT TO:<2u@d>\r\nRCPT TO:<u@d>\r\n");
  EXPECT_EQ(sequence, 0U);
}

TEST(SmtpSourceRecipients, NumbersGoOnOverAllMessages) {
  Options options;
  options.recipient = "u@d";
  options.number_recipients = true;
  std::uint64_t sequence = 0;
  std::string out;
  append_recipient(options, 0, sequence, out);
  append_recipient(options, 0, sequence, out);
  EXPECT_EQ(out, "RCPT TO:<1u@d>\r\nRCPT TO:<2u@d>\r\n");
}

TEST(SmtpSourceMessage, StampComesFirstAndTheHeaderEndsInAnEmptyLine) {
  auto options = parse({"--stamp", "-f", "a@b", "-t", "c@d", "-S", "s", "-l", "3", "host"}).value();
  auto message = MessageTemplate::create(options).value();
  std::string header;
  message.append_header(options, 1, 2, header);
  EXPECT_TRUE(header.starts_with("X-Stagepost-Sent: ")) << header;
  EXPECT_NE(header.find("\r\nFrom: <a@b>\r\nTo: <c@d>\r\nDate: "), std::string::npos) << header;
  EXPECT_TRUE(header.ends_with("\r\nSubject: s\r\n\r\n")) << header;
  EXPECT_EQ(message.body(), "XXX\r\n.\r\n");
}

TEST(SmtpSourceMessage, OldModeHasNoHeader) {
  auto options = parse({"-o", "host"}).value();
  auto message = MessageTemplate::create(options).value();
  std::string header;
  message.append_header(options, 1, 2, header);
  EXPECT_EQ(header, "");
  EXPECT_EQ(message.body(), ".\r\n");
}

TEST(SmtpSourceOptions, AreReadWithPostfixDefaults) {
  const auto plain = parse({"-M", "me.test", "host"}).value();
  EXPECT_EQ(plain.sender, "foo@me.test");
  EXPECT_EQ(plain.recipient, "foo@me.test");
  EXPECT_EQ(plain.port, "smtp");
  EXPECT_EQ(plain.messages, 1U);
  EXPECT_EQ(parse({"inet:[::1]:2525"}).value().host, "::1");
  EXPECT_EQ(parse({"inet:[::1]:2525"}).value().port, "2525");
  EXPECT_EQ(parse({"unix:/a/b"}).value().unix_path, "/a/b");
  EXPECT_EQ(parse({"--rate", "0.5", "h"}).value().rate, 0.5);
  EXPECT_EQ(parse({"--duration", "1.5", "h"}).value().duration.count(), 1500);
}

TEST(SmtpSourceOptions, BadValuesAreNamed) {
  struct Case {
    std::vector<std::string> words;
    std::string message;
  };
  const std::vector<Case> cases{
      {{"-m", "x", "h"}, "bad message count: x"},
      {{"-m", "0", "h"}, "bad message count: 0"},
      {{"-s", "0", "h"}, "bad session count: 0"},
      {{"-l", "0", "h"}, "bad message length: 0"},
      {{"-r", "-1", "h"}, "bad recipient count: -1"},
      {{"-C", "0", "h"}, "bad connection count: 0"},
      {{"--rate", "nan", "h"}, "bad rate: nan"},
      {{"--duration", "0", "h"}, "bad duration: 0"},
      {{"-f", "a\r\nQUIT", "h"}, "line break in an argument"},
      {{"-l", "1", "-F", "f", "h"}, "-l and -F exclude each other"},
      {{":25"}, "no host in: :25"},
  };
  for (const auto& [words, message] : cases) {
    const auto options = parse(words);
    ASSERT_FALSE(options) << message;
    EXPECT_NE(options.error().message().find(message), std::string::npos) << options.error().message();
  }
  for (const auto& words :
       std::vector<std::vector<std::string>>{{}, {"a", "b"}, {"-x", "a"}, {"--rat", "1", "--no", "a"}}) {
    const auto options = parse(words);
    ASSERT_FALSE(options);
    EXPECT_NE(options.error().message().find("usage: smtp-source"), std::string::npos);
  }
}

}  // namespace
}  // namespace stagepost::smtp_source
