#include "mail/smtp_command.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stagepost::smtp {
namespace {

struct ReplyCase {
  std::string line;
  std::string reply;  // "" when accepted
};

std::string run(std::string_view line, const CommandOptions& options = {}) {
  const Command command = parse_command(line);
  if (command.verb == Verb::mail) {
    const auto parsed = parse_mail(command.argument, options);
    return parsed ? "" : reply_for_log(parsed.error());
  }
  if (command.verb == Verb::rcpt) {
    const auto parsed = parse_rcpt(command.argument, options);
    return parsed ? "" : reply_for_log(parsed.error());
  }
  const auto parsed = parse_bdat(command.argument);
  return parsed ? "" : reply_for_log(parsed.error());
}

TEST(ParseCommand, IsTotalAndIgnoresCase) {
  EXPECT_EQ(parse_command("").verb, Verb::empty);
  EXPECT_EQ(parse_command(" \t").verb, Verb::empty);
  EXPECT_EQ(parse_command("  NOOP").verb, Verb::noop);
  EXPECT_EQ(parse_command("rset x").argument, "x");
  EXPECT_EQ(parse_command("MAIL\tFROM:<a@b>").argument, "FROM:<a@b>");
  EXPECT_EQ(parse_command("MAILFROM:<a@b>").verb, Verb::unknown);
  EXPECT_EQ(parse_command("starttls").verb, Verb::starttls);
  EXPECT_EQ(verb_name(Verb::xforward), "XFORWARD");
}

// Each reply was given by Postfix 3.7.11.
TEST(Commands, RepliesAreThoseOfPostfix) {
  const std::vector<ReplyCase> cases{
      {"MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"},
      {"MAIL FROM", "501 5.5.4 Syntax: MAIL FROM:<address>"},
      {"MAIL FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>"},
      {"MAIL TO:<a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
      {"MAIL FROM <a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
      {"MAIL FROM : <a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
      {"MAIL FROM: <a@b>", ""},
      {"mail from:<a@b>", ""},
      {"MAIL FROM:<>", ""},
      {"MAIL FROM:<a@b", "501 5.1.7 Bad sender address syntax"},
      {"MAIL FROM:<a@b>SIZE=1", "501 5.1.7 Bad sender address syntax"},
      {"MAIL FROM:Foo <a@b>", "555 5.5.4 Unsupported option: <a@b>"},
      {"MAIL FROM:(c) <a@b>", "555 5.5.4 Unsupported option: <a@b>"},
      {"MAIL FROM:<a@b>, <c@d>", "555 5.5.4 Unsupported option: <c@d>"},
      {"MAIL FROM:<a@b> SIZE=1", ""},
      {"MAIL FROM:<a@b> size=5 body=8bitmime", ""},
      {"MAIL FROM:<a@b> SIZE=x", "501 5.5.4 Bad message size syntax"},
      {"MAIL FROM:<a@b> SIZE=", "501 5.5.4 Bad message size syntax"},
      {"MAIL FROM:<a@b> SIZE=-1", "501 5.5.4 Bad message size syntax"},
      {"MAIL FROM:<a@b> SIZE", "555 5.5.4 Unsupported option: SIZE"},
      {"MAIL FROM:<a@b> SIZE=99999999999", "552 5.3.4 Message size exceeds fixed limit"},
      {"MAIL FROM:<a@b> SIZE=99999999999999999999999", "552 5.3.4 Message size exceeds file system imposed limit"},
      {"MAIL FROM:<a@b> BODY=7BIT", ""},
      {"MAIL FROM:<a@b> BODY=BINARYMIME", "555 5.5.4 Unsupported option: BODY=BINARYMIME"},
      {"MAIL FROM:<a@b> BODY", "555 5.5.4 Unsupported option: BODY"},
      {"MAIL FROM:<a@b> FOO=BAR", "555 5.5.4 Unsupported option: FOO=BAR"},
      {"MAIL FROM:<a@b> AUTH=<>", ""},
      {"MAIL FROM:<a@b> AUTH=+", ""},
      {"MAIL FROM:<a@b> RET=HDRS", ""},
      {"MAIL FROM:<a@b> RET=HDRS RET=HDRS", "501 5.5.4 Bad RET parameter syntax"},
      {"MAIL FROM:<a@b> RET=X", "501 5.5.4 Bad RET parameter syntax"},
      {"MAIL FROM:<a@b> ENVID=abc", ""},
      {"MAIL FROM:<a@b> ENVID=", "501 5.5.4 Bad ENVID parameter syntax"},
      {"MAIL FROM:<a@b> ENVID=a+0", "501 5.5.4 Bad ENVID parameter syntax"},
      {"MAIL FROM:<a@b> ENVID=a ENVID=b", "501 5.5.4 Bad ENVID parameter syntax"},
      {"MAIL FROM:<a@b> SMTPUTF8", ""},
      {"MAIL FROM:<a@b> SMTPUTF8=x", "555 5.5.4 Unsupported option: SMTPUTF8=x"},
      {"MAIL FROM:<a@b> XVERP", "555 5.5.4 Unsupported option: XVERP"},
      {"MAIL FROM:<a@b> NOTIFY=NEVER", "555 5.5.4 Unsupported option: NOTIFY=NEVER"},
      {"RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>"},
      {"RCPT FROM:<a>", "501 5.5.4 Syntax: RCPT TO:<address>"},
      {"RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"},
      {"RCPT TO:<\"\">", "501 5.1.3 Bad recipient address syntax"},
      {"RCPT TO:(c) <a@b>", "501 5.1.3 Bad recipient address syntax"},
      {"RCPT TO:Foo <x@y>", "555 5.5.4 Unsupported option: <x@y>"},
      {"RCPT TO:<a@b> SIZE=1", "555 5.5.4 Unsupported option: SIZE=1"},
      {"RCPT TO:<a@b> NOTIFY", "555 5.5.4 Unsupported option: NOTIFY"},
      {"RCPT TO:<a@b> NOTIFY=", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
      {"RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
      {"RCPT TO:<a@b> NOTIFY=SUCCESS,SUCCESS", ""},
      {"RCPT TO:<a@b> NOTIFY=SUCCESS NOTIFY=FAILURE", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
      {"RCPT TO:<a@b> ORCPT=rfc822;a@b", ""},
      {"RCPT TO:<a@b> ORCPT=a@b", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
      {"RCPT TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;b", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
      {"BDAT", "521 5.5.4 Syntax: BDAT count [LAST]"},
      {"BDAT x", "521 5.5.4 Syntax: BDAT count [LAST]"},
      {"BDAT 0 FOO", "521 5.5.4 Syntax: BDAT count [LAST]"},
      {"BDAT 0 LAST X", "521 5.5.4 Syntax: BDAT count [LAST]"},
      {"BDAT 99999999999999999999999 LAST", "521 5.5.4 Syntax: BDAT count [LAST]"},
      {"BDAT 0", "551 5.7.1 Null BDAT request"},
      {"BDAT 0 last", ""},
      {"BDAT 5", ""},
  };
  for (const auto& c : cases) { EXPECT_EQ(run(c.line, {.message_size_limit = 10240000}), c.reply) << c.line; }
}

TEST(Commands, DependOnWhatTheSessionOffers) {
  EXPECT_EQ(run("MAIL FROM:<a@b> RET=FULL", {.dsn = false}), "501 5.7.1 DSN support is disabled");
  EXPECT_EQ(run("RCPT TO:<a@b> NOTIFY=NEVER", {.dsn = false}), "501 5.7.1 DSN support is disabled");
  EXPECT_EQ(run("MAIL FROM:<a@b> SMTPUTF8", {.smtputf8 = false}), "555 5.5.4 Unsupported option: SMTPUTF8");
  EXPECT_EQ(run("MAIL FROM:<a@b> XVERP=+=", {.xverp = true}), "");
  EXPECT_EQ(run("MAIL FROM:<a@b> XVERP=+", {.xverp = true}), "501 5.5.4 Error: XVERP needs two characters from -=+");
  EXPECT_EQ(run("MAIL FROM:<a@b> XVERP=+=", {.xverp = true, .verp_delimiter_filter = "#%"}),
            "501 5.5.4 Error: XVERP needs two characters from #%");
  EXPECT_EQ(run("MAIL FROM:<> XVERP", {.xverp = true}), "503 5.5.4 Error: XVERP requires non-null sender");
  const std::string unicode = "553 5.6.7 Must declare SMTPUTF8 to send unicode address";
  EXPECT_EQ(run("MAIL FROM:<\xc3\xa9@b>"), "");
  EXPECT_EQ(run("MAIL FROM:<\xc3\xa9@b>", {.strict_smtputf8 = true}), unicode);
  EXPECT_EQ(run("MAIL FROM:<\xc3\xa9@b> SMTPUTF8", {.strict_smtputf8 = true}), "");
  EXPECT_EQ(run("RCPT TO:<\xc3\xa9@b>", {.strict_smtputf8 = true}), unicode);
  EXPECT_EQ(run("RCPT TO:<\xc3\xa9@b>", {.strict_smtputf8 = true, .transaction_smtputf8 = true}), "");
}

TEST(Commands, ValuesAreDecoded) {
  const auto mail = parse_mail("FROM:<\"a b\"@c> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x+2By SMTPUTF8 AUTH=u+2Bv", {});
  ASSERT_TRUE(mail);
  EXPECT_EQ(mail->sender.internal(), "a b@c");
  EXPECT_EQ(mail->path, "<\"a b\"@c>");
  EXPECT_EQ(mail->size_bytes, 10U);
  EXPECT_EQ(mail->body, Body::eight_bit_mime);
  EXPECT_TRUE(mail->smtputf8);
  EXPECT_EQ(mail->ret, dsn::Ret::headers);
  EXPECT_EQ(mail->envid, "x+y");
  EXPECT_EQ(mail->auth, "u+v");
  const auto rcpt = parse_rcpt("TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z", {});
  ASSERT_TRUE(rcpt);
  EXPECT_EQ(rcpt->notify, dsn::Notify::success | dsn::Notify::delay);
  EXPECT_EQ(rcpt->orcpt, (dsn::OriginalRecipient{"rfc822", "x+y@z"}));
}

}  // namespace
}  // namespace stagepost::smtp
