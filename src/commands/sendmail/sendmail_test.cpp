#include <gtest/gtest.h>

#include "commands/sendmail/message_input.hpp"
#include "commands/sendmail/options.hpp"
#include "queue/record.hpp"

namespace stagepost::sendmail {
namespace {

TEST(Options, ValuesBunchedSeparateAndModes) {
  const auto o = parse_options("sendmail", {"-oi", "-tf", "me@x", "-FMy Name", "-N", "success,failure", "-Rhdrs", "-vv",
                                            "-B", "8BITMIME", "-V", "id", "--", "-odd@y", "b"});
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_TRUE(o->dot_is_data);
  EXPECT_TRUE(o->extract_recipients);
  EXPECT_EQ(o->sender, "me@x");
  EXPECT_EQ(o->full_name, "My Name");
  EXPECT_EQ(o->dsn_notify, dsn::Notify::success | dsn::Notify::failure);
  EXPECT_EQ(o->dsn_ret, dsn::Ret::headers);
  EXPECT_TRUE(o->verbose_delivery);
  EXPECT_EQ(o->debug, 1U);
  EXPECT_EQ(o->body_type, "8bit");
  EXPECT_EQ(o->dsn_envid, "id");
  EXPECT_EQ(o->recipients, (std::vector<std::string>{"-odd@y", "b"}));
  EXPECT_EQ(parse_options("mailq", {})->mode, Mode::mailq);
  EXPECT_EQ(parse_options("newaliases", {})->mode, Mode::newaliases);
  EXPECT_EQ(parse_options("sendmail", {"-bp"})->mode, Mode::mailq);
  EXPECT_EQ(parse_options("sendmail", {"-q"})->mode, Mode::flush_queue);
  EXPECT_EQ(parse_options("sendmail", {"-q30m"})->mode, Mode::stop);
  EXPECT_EQ(parse_options("sendmail", {"-bd", "-q30m"})->mode, Mode::daemon);
  EXPECT_EQ(parse_options("sendmail", {"-oA/x", "-bi"})->alias_database, "/x");
  EXPECT_TRUE(parse_options("sendmail", {"-G", "x"})->gateway);
  EXPECT_EQ(parse_options("sendmail", {"-qRsite.test"})->site_or_id, "site.test");
  EXPECT_TRUE(parse_options("sendmail", {"-bv", "x"})->verify_only);
}

TEST(Options, VerpUnderItsNewAndItsOldName) {
  struct Case {
    std::vector<std::string> words;
    bool verp;
    std::string delimiters, envid, warning;
  };
  for (const Case& c :
       {Case{{"-XV", "a"}, true, "", "", ""}, Case{{"-XV-=", "a"}, true, "-=", "", ""},
        Case{{"-XVabc", "a"}, true, "abc", "", ""},
        Case{{"-V", "-f", "s"}, true, "", "", "option -V is deprecated with Postfix 2.3; specify -XV instead"},
        Case{{"-V", "+=", "a"}, true, "", "", "option -V is deprecated with Postfix 2.3; specify -XV instead"},
        Case{{"-V+=", "a"}, true, "+=", "", "option -V+= is deprecated with Postfix 2.3; specify -XV+= instead"},
        Case{{"-V", "id", "a"}, false, "", "id", ""}, Case{{"-Vid", "a"}, false, "", "id", ""},
        Case{{"-V+", "a"}, false, "", "+", ""}, Case{{"-V+=x", "a"}, false, "", "+=x", ""}}) {
    const auto options = parse_options("sendmail", c.words);
    ASSERT_TRUE(options) << c.words[0];
    EXPECT_EQ(options->use_verp, c.verp) << c.words[0];
    EXPECT_EQ(options->verp_delimiters, c.delimiters) << c.words[0];
    EXPECT_EQ(options->dsn_envid, c.envid) << c.words[0];
    EXPECT_EQ(options->warnings, c.warning.empty() ? std::vector<std::string>{} : std::vector{c.warning}) << c.words[0];
  }
}

TEST(Options, TraditionalOptionsAreAcceptedAndBadOnesRefused) {
  for (const char* word : {"-om", "-oem", "-odb", "-Am", "-G", "-Nnever", "-Ojunk=1", "-U", "-x", "-ep"}) {
    EXPECT_TRUE(parse_options("sendmail", {word, "x"})) << word;
  }
  EXPECT_EQ(parse_options("sendmail", {"-bx"}).error().message(), "unsupported: -bx");
  for (const char* word : {"-Z", "-n", "-BUTF", "-f", "-qX", "-qR", "-Xlog", "-oA"}) {
    EXPECT_FALSE(parse_options("sendmail", {word})) << word;
  }
  for (const char* word : {"-Nsometimes", "-N", "-Rall"}) {
    const auto options = parse_options("sendmail", {word, ""});
    ASSERT_TRUE(options) << word;
    EXPECT_EQ(options->warnings.size(), 1U) << word;
  }
  for (const char* mode : {"-bp", "-bi", "-bd", "-q"}) {
    EXPECT_FALSE(parse_options("sendmail", {mode, "user"})) << mode;
    EXPECT_FALSE(parse_options("sendmail", {mode, "-t"})) << mode;
  }
  EXPECT_FALSE(parse_options("sendmail", {"-bv", "-t"}));
}

std::string lines_of(const std::string& input, MessageInput::Settings settings, std::size_t step,
                     std::vector<std::string>* recipients = nullptr) {
  MessageInput message(settings);
  std::string records;
  for (std::size_t i = 0; i < input.size() && !message.ended(); i += step) {
    message.feed(std::string_view(input).substr(i, step), records);
  }
  message.finish(records);
  if (recipients != nullptr) { *recipients = message.header_recipients(); }
  std::string shown;
  for (std::string_view rest = records; !rest.empty();) {
    const auto parsed = queue::parse_record(rest);
    if (!parsed) { return "malformed"; }
    shown += std::string(parsed->record.data) + (parsed->record.type == queue::RecordType::line ? "|" : "+");
    rest.remove_prefix(parsed->octets);
  }
  return shown;
}

TEST(MessageInput, LineEndsDotsAndFromLine) {
  const std::string input = "From joe Sun Nov 22\nSubject: x\r\n\r\none\n.\ntwo";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    EXPECT_EQ(lines_of(input, {}, step), "Subject: x||one|") << step;
    EXPECT_EQ(lines_of(input, {.dot_is_data = true}, step), "Subject: x||one|.|two|") << step;
  }
}

TEST(MessageInput, RecipientsOfTheHeaderOnly) {
  const std::string input = "To: A <a@x>,\n b@x\nSubject: c@x\nBcc: d@x\nCc: (note) e@x\n\nTo: f@x\n";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    std::vector<std::string> recipients;
    static_cast<void>(lines_of(input, {.extract_recipients = true}, step, &recipients));
    EXPECT_EQ(recipients, (std::vector<std::string>{"a@x", "b@x", "d@x", "e@x"})) << step;
  }
  std::vector<std::string> resent;
  static_cast<void>(lines_of("To: a@x\nResent-To: b@x\n\n", {.extract_recipients = true}, 100, &resent));
  EXPECT_EQ(resent, std::vector<std::string>{"b@x"});
}

}  // namespace
}  // namespace stagepost::sendmail
