#include "delivery/smtp/transaction.hpp"

#include <gtest/gtest.h>

namespace stagepost::smtp_client {
namespace {

using Phase = Transaction::Phase;

smtp::ServerReply reply(int code, const std::string& text) {
  smtp::ReplyParser parser;
  EXPECT_EQ(parser.feed(std::to_string(code) + " " + text), smtp::ReplyParser::State::complete);
  return parser.reply();
}
smtp::Capabilities with(std::initializer_list<smtp::Feature> features) {
  smtp::Capabilities c;
  for (const auto f : features) { c.features |= static_cast<std::uint32_t>(f); }
  return c;
}
Envelope envelope(std::initializer_list<const char*> recipients) {
  Envelope e{.sender = "s@example.org", .size_bytes = 100};
  for (const char* r : recipients) { e.recipients.push_back({.address = r}); }
  return e;
}
Settings lmtp_settings() {
  Settings s;
  s.protocol = Protocol::lmtp;
  return s;
}
std::vector<std::string> commands(Transaction& t) {
  std::vector<std::string> out;
  while (auto c = t.next_command()) { out.push_back(*c); }
  return out;
}
using Lines = std::vector<std::string>;
constexpr const char* kHost = "mx.test[192.0.2.1]";

TEST(SmtpCommands, ParametersOnlyWhereTheServerHasThem) {
  Envelope e = envelope({"r@example.org"});
  e.eight_bit = e.smtputf8 = true;
  e.dsn_envid = "a+b";
  e.dsn_ret = 2;
  e.recipients[0].notify = 10;
  e.recipients[0].dsn_original = "rfc822;b+c@y.test";
  EXPECT_EQ(mail_command(e, {}, true), "MAIL FROM:<s@example.org>");
  EXPECT_EQ(rcpt_command(e.recipients[0], {}, true), "RCPT TO:<r@example.org>");
  const auto all =
      with({smtp::Feature::size, smtp::Feature::eight_bit_mime, smtp::Feature::dsn, smtp::Feature::smtputf8});
  EXPECT_EQ(mail_command(e, all, true),
            "MAIL FROM:<s@example.org> SIZE=100 BODY=8BITMIME ENVID=a+2Bb RET=HDRS SMTPUTF8");
  EXPECT_EQ(rcpt_command(e.recipients[0], all, true),
            "RCPT TO:<r@example.org> ORCPT=rfc822;b+2Bc@y.test NOTIFY=SUCCESS,DELAY");
  e.sender = "";
  EXPECT_EQ(mail_command(e, {}, true), "MAIL FROM:<>");
  EXPECT_EQ(rcpt_command({.address = "a b@example.org"}, {}, true), "RCPT TO:<\"a b\"@example.org>");
}

TEST(TransactionTest, AProbeEndsAfterRcpt) {
  Envelope e = envelope({"a@x", "b@x"});
  e.probe = true;
  Transaction t(std::move(e), with({smtp::Feature::pipelining}), Settings{}, kHost);
  EXPECT_EQ(commands(t), (Lines{"MAIL FROM:<s@example.org>", "RCPT TO:<a@x>", "RCPT TO:<b@x>"}));
  t.on_reply(reply(250, "ok"));
  t.on_reply(reply(250, "2.1.5 fine"));
  t.on_reply(reply(550, "5.1.1 no"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.fates()[0]->delivered);
  EXPECT_EQ(t.fates()[0]->code, "2.1.5");
  EXPECT_FALSE(t.fates()[1]->delivered);
  EXPECT_TRUE(t.needs_reset());
  EXPECT_FALSE(t.server_closing());
}

TEST(TransactionTest, AProbeOfDataHangsUpInsteadOfSendingAMessage) {
  Envelope e = envelope({"a@x"});
  e.probe = true;
  Settings settings;
  settings.verify_at_data = true;
  Transaction t(std::move(e), {}, settings, kHost);
  EXPECT_EQ(commands(t), (Lines{"MAIL FROM:<s@example.org>"}));
  t.on_reply(reply(250, "ok"));
  EXPECT_EQ(commands(t), (Lines{"RCPT TO:<a@x>"}));
  t.on_reply(reply(250, "ok"));
  EXPECT_EQ(commands(t), (Lines{"DATA"}));
  t.on_reply(reply(354, "go on"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.fates()[0]->delivered);
  EXPECT_TRUE(t.server_closing());
}

TEST(TransactionTest, InStepOneCommandAtATime) {
  Transaction t(envelope({"a@x", "b@x"}), {}, Settings{}, kHost);
  EXPECT_EQ(commands(t), (Lines{"MAIL FROM:<s@example.org>"}));
  t.on_reply(reply(250, "ok"));
  EXPECT_EQ(commands(t), (Lines{"RCPT TO:<a@x>"}));
  t.on_reply(reply(250, "ok"));
  EXPECT_EQ(commands(t), (Lines{"RCPT TO:<b@x>"}));
  t.on_reply(reply(550, "5.1.1 no"));
  EXPECT_EQ(commands(t), (Lines{"DATA"}));
  EXPECT_EQ(t.awaited(), Step::data);
  t.on_reply(reply(354, "go"));
  EXPECT_EQ(t.phase(), Phase::content);
  t.content_sent();
  EXPECT_EQ(t.awaited(), Step::end_of_data);
  t.on_reply(reply(250, "2.0.0 queued"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.fates()[0]->delivered);
  EXPECT_EQ(t.fates()[0]->reply, "250 2.0.0 queued");
  EXPECT_EQ(t.fates()[1]->failure.status.code, "5.1.1");
  EXPECT_TRUE(t.fates()[1]->failure.permanent);
  EXPECT_EQ(t.fates()[1]->failure.status.text,
            "host mx.test[192.0.2.1] said: 550 5.1.1 no (in reply to RCPT TO command)");
  EXPECT_FALSE(t.needs_reset());
}

TEST(TransactionTest, PipelinedAllAtOnceAndNobodyLeft) {
  const auto server = with({smtp::Feature::pipelining});
  Transaction t(envelope({"a@x", "b@x"}), server, Settings{}, kHost);
  EXPECT_EQ(commands(t), (Lines{"MAIL FROM:<s@example.org>", "RCPT TO:<a@x>", "RCPT TO:<b@x>", "DATA"}));
  t.on_reply(reply(250, "ok"));
  t.on_reply(reply(450, "4.2.0 later"));
  t.on_reply(reply(550, "5.1.1 no"));
  t.on_reply(reply(354, "go on anyway"));
  EXPECT_EQ(t.phase(), Phase::dot_only) << "no message to nobody";
  t.content_sent();
  t.on_reply(reply(250, "thanks for nothing"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_FALSE(t.anybody_delivered());
}

TEST(TransactionTest, PipelinedMailRefusedEatsTheOtherReplies) {
  Transaction t(envelope({"a@x", "b@x"}), with({smtp::Feature::pipelining}), Settings{}, kHost);
  commands(t);
  t.on_reply(reply(550, "bad"));
  EXPECT_EQ(t.phase(), Phase::envelope);
  t.on_reply(reply(503, "need MAIL"));
  t.on_reply(reply(503, "need MAIL"));
  t.on_reply(reply(503, "need MAIL"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.needs_reset());
  for (const auto& fate : t.fates()) {
    EXPECT_EQ(fate->failure.status.code, "5.0.0");
    EXPECT_EQ(fate->failure.status.text, "host mx.test[192.0.2.1] said: 550 bad (in reply to MAIL FROM command)");
  }
}

TEST(TransactionTest, InStepMailRefusedSendsNothingMore) {
  Transaction t(envelope({"a@x"}), {}, Settings{}, kHost);
  commands(t);
  t.on_reply(reply(450, "4.1.8 later"));
  EXPECT_EQ(commands(t), Lines{});
  EXPECT_EQ(t.phase(), Phase::done);
}

TEST(TransactionTest, AllRecipientsRefusedInStepSendsNoData) {
  Transaction t(envelope({"a@x"}), {}, Settings{}, kHost);
  commands(t);
  t.on_reply(reply(250, "ok"));
  commands(t);
  t.on_reply(reply(550, "no"));
  EXPECT_EQ(commands(t), Lines{});
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.needs_reset());
}

TEST(TransactionTest, Code421EndsItForEveryone) {
  Transaction t(envelope({"a@x", "b@x"}), with({smtp::Feature::pipelining}), Settings{}, kHost);
  commands(t);
  t.on_reply(reply(250, "ok"));
  t.on_reply(reply(421, "4.3.2 closing"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.server_closing());
  EXPECT_EQ(t.fates()[1]->failure.status.code, "4.3.2");
}

TEST(TransactionTest, LmtpHasAReplyForEachAcceptedRecipient) {
  Transaction t(envelope({"a@x", "b@x", "c@x"}), with({smtp::Feature::pipelining}), lmtp_settings(), kHost);
  commands(t);
  t.on_reply(reply(250, "ok"));
  t.on_reply(reply(250, "ok"));
  t.on_reply(reply(550, "no"));
  t.on_reply(reply(250, "ok"));
  t.on_reply(reply(354, "go"));
  t.content_sent();
  t.on_reply(reply(250, "2.0.0 delivered"));
  EXPECT_EQ(t.phase(), Phase::finish);
  t.on_reply(reply(450, "4.2.0 x"));
  EXPECT_EQ(t.phase(), Phase::done);
  EXPECT_TRUE(t.fates()[0]->delivered);
  EXPECT_TRUE(t.fates()[1]->failure.permanent);
  EXPECT_EQ(t.fates()[2]->failure.status.text,
            "host mx.test[192.0.2.1] said: 450 4.2.0 x (in reply to end of DATA command)");
}

TEST(TransactionTest, WhatWasDeliveredStaysDeliveredWhenTheConnectionBreaks) {
  Transaction t(envelope({"a@x", "b@x"}), with({smtp::Feature::pipelining}), lmtp_settings(), kHost);
  commands(t);
  for (int i = 0; i < 3; ++i) { t.on_reply(reply(250, "ok")); }
  t.on_reply(reply(354, "go"));
  t.content_sent();
  t.on_reply(reply(250, "delivered"));
  t.on_broken(broke_off(kHost, {std::make_error_code(std::errc::timed_out), ""}, Step::end_of_data));
  EXPECT_TRUE(t.fates()[0]->delivered);
  EXPECT_EQ(t.fates()[1]->failure.status.text,
            "conversation with mx.test[192.0.2.1] timed out while sending end of data -- message may be sent more than "
            "once");
}

TEST(TransactionTest, OddRepliesAreTemporary) {
  Transaction t(envelope({"a@x"}), {}, Settings{}, kHost);
  commands(t);
  t.on_reply(reply(354, "what?"));
  EXPECT_FALSE(t.fates()[0]->failure.permanent);
  EXPECT_TRUE(t.fates()[0]->failure.status.is_temporary());
}

TEST(TransactionTest, PipelineIsBoundedByTheWindow) {
  Envelope e = envelope({});
  for (int i = 0; i < 2000; ++i) { e.recipients.push_back({.address = "user" + std::to_string(i) + "@example.org"}); }
  Transaction t(std::move(e), with({smtp::Feature::pipelining}), Settings{}, kHost);
  std::size_t bytes = 0;
  for (const auto& line : commands(t)) { bytes += line.size(); }
  EXPECT_LT(bytes, Transaction::kWindowBytes + 100);
  std::size_t replies = 0;
  while (t.awaited() == Step::mail || t.awaited() == Step::rcpt) {
    t.on_reply(reply(250, "ok"));
    ++replies;
    commands(t);
  }
  EXPECT_EQ(replies, 2001U);
  EXPECT_EQ(t.awaited(), Step::data);
}

TEST(FailureTexts, GreetingAndConnection) {
  EXPECT_EQ(refused(kHost, reply(554, "5.3.2 not today"), true).status,
            (dsn::Status{"4.3.2", "host mx.test[192.0.2.1] refused to talk to me: 554 5.3.2 not today"}));
  EXPECT_TRUE(refused(kHost, reply(550, "5.7.1 go away"), false).permanent);
  EXPECT_EQ(
      not_connected("mx.test[192.0.2.1]:25", {std::make_error_code(std::errc::connection_refused), "connect"}).status,
      (dsn::Status{"4.4.1", "connect to mx.test[192.0.2.1]:25: Connection refused"}));
}

}  // namespace
}  // namespace stagepost::smtp_client
