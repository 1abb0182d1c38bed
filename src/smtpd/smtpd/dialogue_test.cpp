#include "smtpd/smtpd/dialogue.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "smtpd/smtpd/command_counts.hpp"

namespace stagepost::smtpd {
namespace {

using smtp::Verb;

Settings settings() {
  Settings s;
  s.myhostname = "mx.test";
  s.message_size_limit = 1000;
  s.recipient_limit = 2;
  return s;
}

/// The reply, or what the session is asked to do, after which the dialogue is told that it went well.
std::string say(Dialogue& dialogue, std::string_view line) {
  const Action action = dialogue.on_command(smtp::parse_command(line));
  if (const auto* const answer = std::get_if<Answer>(&action)) {
    return smtp::reply_for_log(answer->reply) + (answer->close ? " (close)" : "");
  }
  if (const auto* const helo = std::get_if<CheckHelo>(&action)) {
    dialogue.helo_accepted(helo->name, helo->esmtp);
    return "helo " + helo->name;
  }
  if (const auto* const mail = std::get_if<CheckMail>(&action)) {
    dialogue.mail_accepted(mail->command);
    return "mail " + mail->command.sender.internal();
  }
  if (const auto* const rcpt = std::get_if<CheckRcpt>(&action)) {
    dialogue.rcpt_accepted();
    return "rcpt " + rcpt->command.recipient.internal();
  }
  if (std::holds_alternative<BeginData>(action)) {
    dialogue.reset();
    return "data";
  }
  if (const auto* const chunk = std::get_if<Chunk>(&action)) {
    if (chunk->refusal) {
      dialogue.bdat_failed();
      return "discard " + std::to_string(chunk->size_bytes) + ": " + smtp::reply_for_log(*chunk->refusal);
    }
    dialogue.bdat_accepted();
    if (chunk->last) { dialogue.reset(); }
    return std::string("chunk ") + std::to_string(chunk->size_bytes) + (chunk->last ? " last" : "");
  }
  if (const auto* const vrfy = std::get_if<CheckVrfy>(&action)) { return "vrfy " + vrfy->address.internal(); }
  if (const auto* const etrn = std::get_if<CheckEtrn>(&action)) { return "etrn " + etrn->domain; }
  dialogue.tls_started();
  return "starttls";
}

using Script = std::vector<std::pair<std::string, std::string>>;

void run(const Settings& s, const Script& script, TlsState tls = TlsState::none) {
  Dialogue dialogue(s);
  dialogue.set_tls(tls);
  for (const auto& [line, expected] : script) { EXPECT_EQ(say(dialogue, line), expected) << line; }
}

TEST(Dialogue, OrderOfATransaction) {
  run(settings(), {{"RCPT TO:<a@b.test>", "503 5.5.1 Error: need MAIL command"},
                   {"DATA", "503 5.5.1 Error: need RCPT command"},
                   {"EHLO c.test extra", "helo c.test"},
                   {"MAIL FROM:<a@b.test>", "mail a@b.test"},
                   {"MAIL FROM:<a@b.test>", "503 5.5.1 Error: nested MAIL command"},
                   {"DATA", "554 5.5.1 Error: no valid recipients"},
                   {"ETRN x.test", "503 Error: MAIL transaction in progress"},
                   {"RCPT TO:<c@d.test>", "rcpt c@d.test"},
                   {"DATA x", "501 5.5.4 Syntax: DATA"},
                   {"DATA", "data"},
                   {"DATA", "503 5.5.1 Error: need RCPT command"},
                   {"QUIT now", "221 2.0.0 Bye (close)"}});
}

TEST(Dialogue, EhloAndRsetEndTheTransaction) {
  run(settings(), {{"EHLO c.test", "helo c.test"},
                   {"MAIL FROM:<>", "mail "},
                   {"RSET x", "501 5.5.4 Syntax: RSET"},
                   {"RSET", "250 2.0.0 Ok"},
                   {"RCPT TO:<a@b.test>", "503 5.5.1 Error: need MAIL command"},
                   {"MAIL FROM:<>", "mail "},
                   {"HELO d.test", "helo d.test"},
                   {"RCPT TO:<a@b.test>", "503 5.5.1 Error: need MAIL command"}});
}

TEST(Dialogue, RecipientLimitIsTemporaryAndKeepsEarlierRecipients) {
  run(settings(), {{"MAIL FROM:<a@b.test>", "mail a@b.test"},
                   {"RCPT TO:<1@d.test>", "rcpt 1@d.test"},
                   {"RCPT TO:<2@d.test>", "rcpt 2@d.test"},
                   {"RCPT TO:<3@d.test>", "452 4.5.3 Error: too many recipients"},
                   {"DATA", "data"}});
}

TEST(Dialogue, SyntaxErrors) {
  run(settings(), {{"", "500 5.5.2 Error: bad syntax"},
                   {"HELO", "501 Syntax: HELO hostname"},
                   {"EHLO", "501 Syntax: EHLO hostname"},
                   {"LHLO x", "500 5.5.2 Error: command not recognized"},
                   {"EXPN x", "500 5.5.2 Error: command not recognized"},
                   {"AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"},
                   {"XCLIENT", "501 5.5.4 Syntax: XCLIENT attribute=value..."},
                   {"XFORWARD a=b", "550 5.7.0 Error: insufficient authorization"},
                   {"VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"},
                   {"VRFY a b", "501 5.1.3 Bad recipient address syntax"},
                   {"VRFY <a@b.test> SMTPUTF8", "vrfy a@b.test"},
                   {"ETRN", "500 Syntax: ETRN domain"},
                   {"ETRN -", "501 Error: invalid parameter syntax"},
                   {"ETRN @b.test", "etrn b.test"},
                   {"NOOP x y", "250 2.0.0 Ok"}});
}

TEST(Dialogue, AFailedChunkIsFollowedByDiscardingUntilRset) {
  run(settings(), {{"BDAT 0", "551 5.7.1 Null BDAT request"},
                   {"BDAT 3", "discard 3: 503 5.5.1 Error: need RCPT command"},
                   {"BDAT 4 LAST", "discard 4: 551 5.0.0 Discarded 4 bytes after earlier error"},
                   {"MAIL FROM:<a@b.test>", "503 5.5.1 Error: MAIL after BDAT"},
                   {"DATA", "503 5.5.1 Error: DATA after BDAT"},
                   {"RSET", "250 2.0.0 Ok"},
                   {"MAIL FROM:<a@b.test>", "mail a@b.test"},
                   {"BDAT 2", "discard 2: 554 5.5.1 Error: no valid recipients"},
                   {"RSET", "250 2.0.0 Ok"},
                   {"MAIL FROM:<a@b.test>", "mail a@b.test"},
                   {"RCPT TO:<c@d.test>", "rcpt c@d.test"},
                   {"BDAT 7", "chunk 7"},
                   {"RCPT TO:<e@d.test>", "503 5.5.1 Error: RCPT after BDAT"},
                   {"BDAT 0 LAST", "chunk 0 last"},
                   {"BDAT x", "521 5.5.4 Syntax: BDAT count [LAST] (close)"}});
  Settings without = settings();
  without.keywords.chunking = false;
  run(without, {{"BDAT 3", "521 5.5.1 Error: command not implemented (close)"}});
}

TEST(Dialogue, HeloCanBeRequired) {
  Settings s = settings();
  s.helo_required = true;
  run(s, {{"MAIL FROM:<a@b.test>", "503 5.5.1 Error: send HELO/EHLO first"},
          {"HELO x", "helo x"},
          {"MAIL FROM:<a@b.test>", "mail a@b.test"}});
}

TEST(Dialogue, StarttlsAndMandatoryTls) {
  run(settings(), {{"STARTTLS", "502 5.5.1 Error: command not implemented"}}, TlsState::none);
  run(settings(),
      {{"STARTTLS x", "501 5.5.4 Syntax: STARTTLS"}, {"STARTTLS", "454 4.7.0 TLS not available due to local problem"}},
      TlsState::unavailable);
  Settings s = settings();
  s.tls_level = tls::Level::encrypt;
  run(s,
      {{"EHLO x", "helo x"},
       {"MAIL FROM:<a@b.test>", "530 5.7.0 Must issue a STARTTLS command first"},
       {"VRFY a", "530 5.7.0 Must issue a STARTTLS command first"},
       {"NOOP", "250 2.0.0 Ok"},
       {"STARTTLS", "starttls"},
       {"STARTTLS", "554 5.5.1 Error: TLS already active"},
       {"MAIL FROM:<a@b.test>", "mail a@b.test"}},
      TlsState::ready);
}

TEST(Dialogue, TlsForgetsWhatWasSaidBefore) {
  const Settings s = settings();
  Dialogue dialogue(s);
  dialogue.set_tls(TlsState::ready);
  static_cast<void>(say(dialogue, "EHLO c.test"));
  static_cast<void>(say(dialogue, "MAIL FROM:<a@b.test>"));
  static_cast<void>(say(dialogue, "STARTTLS"));
  EXPECT_EQ(dialogue.helo(), "");
  EXPECT_EQ(dialogue.protocol(), "SMTP");
  EXPECT_FALSE(dialogue.in_transaction());
  EXPECT_EQ(dialogue.ehlo_text().find("STARTTLS"), std::string::npos);
}

TEST(Dialogue, EhloListsTheKeywordsInPostfixOrder) {
  const Settings s = settings();
  Dialogue dialogue(s);
  EXPECT_EQ(dialogue.ehlo_text(),
            "mx.test\nPIPELINING\nSIZE 1000\nVRFY\nETRN\nENHANCEDSTATUSCODES\n8BITMIME\nDSN\nSMTPUTF8\nCHUNKING");
  Settings less = settings();
  less.keywords = Keywords::without({"chunking", "dsn", "VRFY"});
  EXPECT_EQ(less.keywords.discarded, "VRFY DSN CHUNKING");
  EXPECT_EQ(Dialogue(less).ehlo_text(),
            "mx.test\nPIPELINING\nSIZE 1000\nETRN\nENHANCEDSTATUSCODES\n8BITMIME\nSMTPUTF8");
  EXPECT_EQ(Keywords::without({"dsn", "silent-discard"}).discarded, "");
  dialogue.allow_verp();
  EXPECT_NE(dialogue.ehlo_text().find("\nETRN\nXVERP\nENHANCEDSTATUSCODES\n"), std::string::npos);
}

TEST(Dialogue, OnlyEsmtpClientsMayPipelineAndNotEverywhere) {
  const Settings s = settings();
  Dialogue dialogue(s);
  EXPECT_FALSE(dialogue.may_pipeline_after(Verb::mail));
  dialogue.helo_accepted("c.test", true);
  for (const Verb verb : {Verb::mail, Verb::rcpt, Verb::rset, Verb::bdat, Verb::quit, Verb::etrn, Verb::unknown}) {
    EXPECT_TRUE(dialogue.may_pipeline_after(verb)) << smtp::verb_name(verb);
  }
  for (const Verb verb : {Verb::ehlo, Verb::helo, Verb::data, Verb::vrfy, Verb::noop}) {
    EXPECT_FALSE(dialogue.may_pipeline_after(verb)) << smtp::verb_name(verb);
  }
}

TEST(CommandCounts, ShowsSuccessesAndTotalsInAFixedOrder) {
  CommandCounts counts;
  EXPECT_EQ(counts.summary(), "commands=0/0");
  counts.add(Verb::quit, true);
  counts.add(Verb::ehlo, true);
  counts.add(Verb::rcpt, true);
  counts.add(Verb::rcpt, false);
  counts.add(Verb::expn, false);
  EXPECT_EQ(counts.summary(), "ehlo=1 rcpt=1/2 quit=1 unknown=0/1 commands=3/5");
}

}  // namespace
}  // namespace stagepost::smtpd
