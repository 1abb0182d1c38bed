#include "smtpd/smtpd/session.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "log/log.hpp"
#include "net/scripted_stream.hpp"
#include "smtpd/smtpd/fake_services.hpp"

namespace stagepost::smtpd {
namespace {

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    log::capture([this](log::Level level, std::string_view text) { log_.push_back(log::labelled(level, text)); });
  }
  ~SessionTest() override { log::capture({}); }

  /// The whole conversation; returns what the server said.
  std::string run(net::Script script, const std::string& main_cf = "") {
    auto shared = std::make_shared<net::Script>(std::move(script));
    net::EventLoop loop;
    loop.run_task(converse(shared, main_cf));
    EXPECT_TRUE(shared->closed);
    return shared->written;
  }
  [[nodiscard]] bool logged(std::string_view line) const { return std::ranges::find(log_, line) != log_.end(); }
  [[nodiscard]] std::string all_log() const {
    std::string all;
    for (const std::string& line : log_) { all += line + '\n'; }
    return all;
  }

  FakeServices services_;
  std::string client_address_ = "198.51.100.7";
  SessionKind kind_ = SessionKind::network;
  std::vector<std::string> log_;

 private:
  net::Task<> converse(std::shared_ptr<net::Script> script, std::string main_cf) {
    Client client;
    client.address = client_address_;
    client.port = "4711";
    Session session(services_, test_policy(main_cf, kind_), std::make_unique<net::ScriptedStream>(script),
                    std::move(client));
    co_await session.run();
  }
};

constexpr std::string_view kEhloReply =
    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-VRFY\r\n250-ETRN\r\n250-ENHANCEDSTATUSCODES\r\n"
    "250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n";
const std::string kStart = "220 mx.test ESMTP Postfix\r\n" + std::string(kEhloReply);
const std::string kEnvelope = "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@ours.test>\r\n";
const std::string kEnvelopeReplies = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";
const std::string kGoOn = "354 End data with <CR><LF>.<CR><LF>\r\n";

std::string body_of(const std::string& content) {
  const std::size_t end = content.find("; ");
  const std::size_t line = content.find('\n', end);
  return line == std::string::npos ? content : content.substr(line + 1);
}

TEST_F(SessionTest, AMessageIsAcknowledgedAfterCleanupHasIt) {
  net::Script script;
  script.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\n").send("Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
  EXPECT_EQ(run(script), kStart + kEnvelopeReplies + kGoOn + "250 2.0.0 Ok: queued as ID1\r\n221 2.0.0 Bye\r\n");
  ASSERT_EQ(services_.messages.size(), 1U);
  const RecordedMessage& message = *services_.messages.front();
  EXPECT_TRUE(message.finished);
  EXPECT_EQ(message.open.sender, "a@b.test");
  EXPECT_EQ(message.recipients.at(0).address, "user@ours.test");
  EXPECT_TRUE(
      message.content.starts_with("Received: from c.test (client.test [198.51.100.7])\n\tby mx.test (Postfix) "
                                  "with ESMTP id ID1\n\tfor <user@ours.test>; "))
      << message.content;
  EXPECT_EQ(body_of(message.content), "Subject: x\n\n.dot\n");
  EXPECT_EQ(log_, (std::vector<std::string>{
                      "connect from client.test[198.51.100.7]", "ID1: client=client.test[198.51.100.7]",
                      "disconnect from client.test[198.51.100.7] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"}));
}

TEST_F(SessionTest, AttributesComeInTheOrderOfTheQueueFile) {
  net::Script script;
  script.send("EHLO c.test\r\n")
      .send("MAIL FROM:<a@b.test> BODY=8BITMIME RET=HDRS ENVID=e\r\nRCPT TO:<user@ours.test>\r\n");
  run(script);
  std::string names;
  for (const auto& attribute : services_.messages.at(0)->open.attributes) {
    names += attribute.name + '=' + attribute.value + ' ';
  }
  EXPECT_EQ(names,
            "rewrite_context=remote envelope_id=e ret_flags=2 encoding=8bit log_client_name=client.test "
            "log_client_address=198.51.100.7 log_client_port=4711 log_message_origin=client.test[198.51.100.7] "
            "log_helo_name=c.test log_protocol_name=ESMTP client_name=client.test reverse_client_name=client.test "
            "client_address=198.51.100.7 client_port=4711 server_address=unknown server_port=unknown "
            "helo_name=c.test protocol_name=ESMTP client_address_type=2 ");
}

TEST_F(SessionTest, ARejectedRecipientIsLoggedInFull) {
  net::Script script;
  script.send("EHLO c.test\r\n").send("MAIL FROM:<>\r\nRCPT TO:<x@far.test>\r\n").send("QUIT\r\n");
  EXPECT_EQ(run(script), kStart + "250 2.1.0 Ok\r\n554 5.7.1 <x@far.test>: Relay access denied\r\n221 2.0.0 Bye\r\n");
  EXPECT_TRUE(
      logged("NOQUEUE: reject: RCPT from client.test[198.51.100.7]: 554 5.7.1 <x@far.test>: Relay access "
             "denied; from=<> to=<x@far.test> proto=ESMTP helo=<c.test>"))
      << all_log();
  EXPECT_TRUE(services_.messages.empty());
}

TEST_F(SessionTest, ALostConnectionIsReportedWhereItHappened) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "lost connection after CONNECT"},
      {{"EHLO c.test\r\n"}, "lost connection after EHLO"},
      {{"EHLO c.test\r\nMA"}, ""},
      {{"EHLO c.test\r\n", "MAIL FROM:<a@b.test>\r\nRCP"}, "lost connection after MAIL"},
      {{"EHLO c.test\r\n", kEnvelope}, "lost connection after RCPT"},
      {{"EHLO c.test\r\n", kEnvelope, "DATA\r\n"}, "lost connection after DATA (0 bytes)"},
      {{"EHLO c.test\r\n", kEnvelope, "DATA\r\n", "A: b\r\n"}, "lost connection after DATA (6 bytes)"},
      {{"EHLO c.test\r\n", kEnvelope, "BDAT 9\r\nA: b\r\n"}, "lost connection after BDAT (6 bytes)"},
      {{"EHLO c.test\r\n", "BDAT 9\r\nA: b\r\n"}, "lost connection after BDAT"},
  };
  for (const auto& [steps, line] : cases) {
    log_.clear();
    services_.messages.clear();
    net::Script script;
    for (const std::string& step : steps) { script.send(step); }
    run(script);
    if (!line.empty()) { EXPECT_TRUE(logged(line + " from client.test[198.51.100.7]")) << line << '\n' << all_log(); }
    for (const auto& message : services_.messages) {
      EXPECT_FALSE(message->finished) << line;
      EXPECT_TRUE(message->aborted) << line;
    }
  }
}

TEST_F(SessionTest, ATimeoutIsAnsweredAndReported) {
  net::Script script;
  script.send("EHLO c.test\r\n").time_out();
  EXPECT_EQ(run(script), kStart + "421 4.4.2 mx.test Error: timeout exceeded\r\n");
  EXPECT_TRUE(logged("timeout after EHLO from client.test[198.51.100.7]"));
  net::Script in_data;
  in_data.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\n").send("x\r\n").time_out();
  run(in_data);
  EXPECT_TRUE(logged("timeout after DATA (3 bytes) from client.test[198.51.100.7]")) << all_log();
}

TEST_F(SessionTest, CommandsMayArriveInPieces) {
  net::Script script;
  for (const char c : "EHLO c.test\r\n" + std::string()) { script.send(std::string(1, c)); }
  for (const char c : kEnvelope + "DATA\r\n") { script.send(std::string(1, c)); }
  for (const char c : std::string("S: x\r\n\r\nhi\r\n.\r\n")) { script.send(std::string(1, c)); }
  script.send("QUIT\r\n");
  EXPECT_EQ(run(script), kStart + kEnvelopeReplies + kGoOn + "250 2.0.0 Ok: queued as ID1\r\n221 2.0.0 Bye\r\n");
  EXPECT_EQ(body_of(services_.messages.at(0)->content), "S: x\n\nhi\n");
}

TEST_F(SessionTest, SmuggledCommandsStayContent) {
  for (const std::string end : {"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r"}) {
    services_.messages.clear();
    net::Script script;
    script.send("EHLO c.test\r\n")
        .send(kEnvelope + "DATA\r\n")
        .send("S: x\r\n\r\nhi" + end + "MAIL FROM:<evil@x.test>\r\nRCPT TO:<user@ours.test>\r\nDATA\r\nz\r\n.\r\n")
        .send("QUIT\r\n");
    EXPECT_EQ(run(script), kStart + kEnvelopeReplies + kGoOn + "250 2.0.0 Ok: queued as ID1\r\n221 2.0.0 Bye\r\n");
    ASSERT_EQ(services_.messages.size(), 1U);
    EXPECT_NE(services_.messages.at(0)->content.find("MAIL FROM:<evil@x.test>"), std::string::npos);
  }
}

TEST_F(SessionTest, BareNewlinesCanBeRefused) {
  net::Script script;
  script.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\n").send("bare\nnewline\r\n.\r\n").send("QUIT\r\n");
  EXPECT_EQ(run(script, "smtpd_forbid_bare_newline = reject\n"),
            kStart + kEnvelopeReplies + kGoOn + "550 5.5.2 mx.test Error: bare <LF> received\r\n221 2.0.0 Bye\r\n");
  EXPECT_FALSE(services_.messages.at(0)->finished);
  EXPECT_TRUE(
      logged("ID1: reject: END-OF-MESSAGE from client.test[198.51.100.7]: 550 5.5.2 mx.test Error: bare <LF> "
             "received; from=<a@b.test> to=<user@ours.test> proto=ESMTP helo=<c.test>"))
      << all_log();
}

TEST_F(SessionTest, PipeliningWhereItIsForbiddenEndsTheSession) {
  const std::string refused = "554 5.5.0 Error: SMTP protocol synchronization\r\n";
  net::Script early;
  early.send("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n");
  EXPECT_EQ(run(early), "220 mx.test ESMTP Postfix\r\n" + refused);
  EXPECT_TRUE(
      logged("improper command pipelining after EHLO from client.test[198.51.100.7]: MAIL FROM:<a@b.test>\\r\\n"))
      << all_log();
  net::Script data;
  data.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\nS: early\r\n");
  EXPECT_EQ(run(data), kStart + kEnvelopeReplies + refused);
  net::Script tolerated;
  tolerated.send("EHLO c.test\r\nQUIT\r\n");
  EXPECT_EQ(run(tolerated, "smtpd_forbid_unauth_pipelining = no\n"), kStart + "221 2.0.0 Bye\r\n");
}

TEST_F(SessionTest, AMessageOverTheLimitIsReadAndRefused) {
  net::Script script;
  script.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\n");
  for (int i = 0; i < 30; ++i) { script.send(std::string(98, 'x') + "\r\n"); }
  script.send(".\r\nQUIT\r\n");
  EXPECT_EQ(run(script),
            kStart + kEnvelopeReplies + kGoOn + "552 5.3.4 Error: message file too big\r\n221 2.0.0 Bye\r\n");
  EXPECT_FALSE(services_.messages.at(0)->finished);
}

TEST_F(SessionTest, ChunksMakeAMessage) {
  net::Script script;
  script.send("EHLO c.test\r\n")
      .send(kEnvelope + "BDAT 12\r\nSubject: q\r\n")
      .send("BDAT 8 LAST\r\n\r\n.\r\nx.")
      .send("\nQUIT\r\n");
  EXPECT_EQ(run(script), kStart + kEnvelopeReplies +
                             "250 2.0.0 Ok: 12 bytes\r\n250 2.0.0 Ok: 20 bytes queued as ID1\r\n221 2.0.0 Bye\r\n");
  EXPECT_EQ(body_of(services_.messages.at(0)->content), "Subject: q\n\n.\nx.\n");
}

TEST_F(SessionTest, CleanupsVerdictReachesTheClient) {
  using Status = clients::CleanupResult::Status;
  const std::vector<std::pair<clients::CleanupResult, std::string>> cases{
      {{.status = Status::too_many_hops, .code = "5.4.0", .text = "x"}, "554 5.4.0 Error: too many hops\r\n"},
      {{.status = Status::no_space, .code = {}, .text = {}}, "452 4.3.1 Error: insufficient system storage\r\n"},
      {{.status = Status::write_error, .code = {}, .text = {}}, "451 4.3.0 Error: queue file write error\r\n"},
      {{.status = Status::rejected, .code = "5.7.1", .text = "no"}, "550 5.7.1 no\r\n"},
      {{.status = Status::discarded, .code = {}, .text = {}}, "250 2.0.0 Ok: queued as ID1\r\n"},
  };
  for (const auto& [result, reply] : cases) {
    services_.messages.clear();
    services_.result = result;
    net::Script script;
    script.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\n").send(".\r\n");
    EXPECT_EQ(run(script), kStart + kEnvelopeReplies + kGoOn + reply);
  }
}

TEST_F(SessionTest, WithoutAQueueFileTheRecipientIsDeferred) {
  services_.refuse_open = {.text = "disk", .full = true};
  net::Script script;
  script.send("EHLO c.test\r\n").send(kEnvelope);
  EXPECT_EQ(run(script), kStart + "250 2.1.0 Ok\r\n452 4.3.1 Insufficient system storage\r\n");
  services_.refuse_open = {.text = "gone", .full = false};
  EXPECT_EQ(run(script), kStart + "250 2.1.0 Ok\r\n451 4.3.0 Error: queue file write error\r\n");
}

TEST_F(SessionTest, AFullDiskIsNoticedAtMail) {
  services_.free_bytes = 1400;
  net::Script script;
  script.send("EHLO c.test\r\n").send("MAIL FROM:<a@b.test>\r\n");
  EXPECT_EQ(run(script), kStart + "452 4.3.1 Insufficient system storage\r\n");
}

TEST_F(SessionTest, TooManyErrorsEndTheSession) {
  net::Script script;
  script.send("FOO\r\n").send("FOO\r\n").send("NOOP\r\n");
  EXPECT_EQ(run(script, "smtpd_hard_error_limit = 2\n"),
            "220 mx.test ESMTP Postfix\r\n500 5.5.2 Error: command not recognized\r\n"
            "500 5.5.2 Error: command not recognized\r\n421 4.7.0 mx.test Error: too many errors\r\n");
  EXPECT_TRUE(logged("too many errors after UNKNOWN from client.test[198.51.100.7]"));
}

TEST_F(SessionTest, JunkCommandsBecomeErrorsPastTheirLimit) {
  net::Script script;
  for (int i = 0; i < 9; ++i) { script.send("NOOP\r\n"); }
  EXPECT_EQ(run(script, "smtpd_hard_error_limit = 3\nsmtpd_junk_command_limit = 2\n"),
            "220 mx.test ESMTP Postfix\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n"
            "250 2.0.0 Ok\r\n421 4.7.0 mx.test Error: too many errors\r\n");
}

TEST_F(SessionTest, HttpAndHeadersAreSentAway) {
  for (const std::string line : {"GET / HTTP/1.0", "CONNECT x:25", "123", "Subject: hi"}) {
    net::Script script;
    script.send(line + "\r\n");
    EXPECT_EQ(run(script), "220 mx.test ESMTP Postfix\r\n221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
    EXPECT_TRUE(logged("warning: non-SMTP command from client.test[198.51.100.7]: " + line)) << all_log();
  }
}

TEST_F(SessionTest, AnOverlongLineIsCutAndItsRestIsNoCommand) {
  net::Script script;
  script.send("EHLO c.test\r\n").send("MAIL FROM:<" + std::string(3000, 'a')).send("@b.test>\r\n").send("NOOP\r\n");
  EXPECT_EQ(run(script), kStart + "501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n");
  EXPECT_TRUE(logged("warning: client.test[198.51.100.7]: request longer than 2048: MAIL FROM:<aaaaaaaaaaaaaaaaaaa..."))
      << all_log();
}

TEST_F(SessionTest, AClientCanBeRefusedAtOnce) {
  net::Script script;
  script.send("EHLO c.test\r\n").send("QUIT\r\n");
  EXPECT_EQ(run(script, "smtpd_delay_reject = no\nsmtpd_client_restrictions = reject\n"),
            "554 5.7.1 <client.test[198.51.100.7]>: Client host rejected: Access denied\r\n"
            "503 5.7.0 Error: access denied for client.test[198.51.100.7]\r\n221 2.0.0 Bye\r\n");
  EXPECT_TRUE(
      logged("NOQUEUE: reject: CONNECT from client.test[198.51.100.7]: 554 5.7.1 "
             "<client.test[198.51.100.7]>: Client host rejected: Access denied; proto=SMTP"))
      << all_log();
}

TEST_F(SessionTest, DiscardedMailLooksAcceptedAndIsNotQueued) {
  net::Script script;
  script.send("EHLO c.test\r\n").send(kEnvelope + "DATA\r\n").send("S: x\r\n.\r\n");
  EXPECT_EQ(run(script, "smtpd_recipient_restrictions = check_recipient_access inline:{user@ours.test=DISCARD}\n"),
            kStart + kEnvelopeReplies + kGoOn + "250 2.0.0 Ok: queued as ID1\r\n");
  EXPECT_FALSE(services_.messages.at(0)->finished);
}

TEST_F(SessionTest, HoldAndPrependReachTheMessage) {
  net::Script script;
  script.send("EHLO c.test\r\n")
      .send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@ours.test>\r\nRCPT TO:<box@virtual.test>\r\nDATA\r\n")
      .send("S: x\r\n.\r\n");
  run(script,
      "smtpd_recipient_restrictions = check_recipient_access "
      "inline:{ {box@virtual.test=HOLD} {user@ours.test=PREPEND X-A: b} }\n");
  const RecordedMessage& message = *services_.messages.at(0);
  EXPECT_TRUE(message.end.hold);
  EXPECT_TRUE(message.content.starts_with("X-A: b\nReceived: from c.test")) << message.content;
  EXPECT_EQ(message.content.find("for <"), std::string::npos);
}

TEST_F(SessionTest, AStandAloneSessionHasNoRules) {
  kind_ = SessionKind::local_unrestricted;
  const std::string written = run(
      net::Script{}.send("EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@ours.test>\r\nRCPT TO:<x@far.test>\r\n"
                         "VRFY nobody@ours.test\r\nETRN relay.test\r\nSTARTTLS\r\nDATA\r\nSubject: x\r\n.\r\nQUIT\r\n"),
      "smtpd_client_restrictions = reject\nsmtpd_tls_security_level = encrypt\n");
  EXPECT_EQ(written, kStart +
                         "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n252 2.0.0 nobody@ours.test\r\n"
                         "503 Error: MAIL transaction in progress\r\n502 5.5.1 Error: command not implemented\r\n" +
                         kGoOn + "250 2.0.0 Ok: queued as ID1\r\n221 2.0.0 Bye\r\n");
  EXPECT_EQ(services_.messages.at(0)->recipients.size(), 2U);
  // The same words from the network.
  kind_ = SessionKind::network;
  EXPECT_NE(run(net::Script{}.send("EHLO me\r\n").send(kEnvelope), "smtpd_client_restrictions = reject\n").find("554"),
            std::string::npos);
}

TEST_F(SessionTest, TheMailOwnersStandAloneSessionHasAllRules) {
  kind_ = SessionKind::local_restricted;
  const std::string written = run(net::Script{}.send(
      "EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@ours.test>\r\nRCPT TO:<user@ours.test>\r\nRSET\r\nETRN "
      "relay.test\r\nQUIT\r\n"));
  EXPECT_NE(written.find("550 5.1.1 <nobody@ours.test>"), std::string::npos) << written;
  EXPECT_NE(written.find("458 Unable to queue messages"), std::string::npos) << written;
  EXPECT_NE(written.find("221 2.0.0 Bye"), std::string::npos) << written;
}

TEST_F(SessionTest, VerpIsForAuthorizedClients) {
  const std::string input = "EHLO me\r\n";
  const std::string mail = "MAIL FROM:<list@b.test> XVERP\r\nRCPT TO:<user@ours.test>\r\n";
  const std::string refused = run(net::Script{}.send(input).send(mail));
  EXPECT_NE(refused.find("555 5.5.4 Unsupported option: XVERP"), std::string::npos) << refused;
  const std::string allowed =
      run(net::Script{}.send(input).send(mail), "smtpd_authorized_verp_clients = 198.51.100.0/24\n");
  EXPECT_NE(allowed.find("250-XVERP"), std::string::npos) << allowed;
  EXPECT_EQ(services_.messages.at(0)->open.verp_delimiters, "+=");
}

}  // namespace
}  // namespace stagepost::smtpd
