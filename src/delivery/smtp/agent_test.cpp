// The agent against servers that misbehave in scripted ways, over real sockets and a real queue file. The expected
// lines are those of Postfix 3.7 in the same situations.
#include "delivery/smtp/agent.hpp"

#include <arpa/inet.h>
#include <filesystem>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "clients/endpoint.hpp"
#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "maps/context.hpp"
#include "net/socket_stream.hpp"
#include "net/task_group.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::smtp_client {
namespace {

/// A server in a thread. Replies by verb ("CONNECT", "EHLO", "RCPT", "EOD" ...); the last of several is repeated.
/// "drop" closes the connection, "silence" says nothing.
class FakeServer {
 public:
  using Script = std::map<std::string, std::vector<std::string>>;

  explicit FakeServer(Script script, bool lmtp = false) : script_(std::move(script)), lmtp_(lmtp) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 8);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~FakeServer() {
    ::shutdown(listener_, SHUT_RDWR);
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  [[nodiscard]] std::string nexthop() const { return "[127.0.0.1]:" + std::to_string(port_); }
  [[nodiscard]] std::string relay() const { return "127.0.0.1[127.0.0.1]:" + std::to_string(port_); }
  [[nodiscard]] std::vector<std::string> commands() {
    const std::scoped_lock lock(mutex_);
    return commands_;
  }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] std::string content() {
    const std::scoped_lock lock(mutex_);
    return content_;
  }

 private:
  std::string reply_to(const std::string& verb, std::string usual) {
    const auto found = script_.find(verb);
    if (found == script_.end()) { return usual; }
    std::string reply = found->second.front();
    if (found->second.size() > 1) { found->second.erase(found->second.begin()); }
    return reply;
  }
  bool say(int fd, const std::string& verb, const std::string& usual) {
    const std::string reply = reply_to(verb, usual);
    if (reply == "drop") { return false; }
    if (reply == "silence") { return true; }
    std::string wire;
    for (const auto line : text::split_exact(reply, '\n')) { wire += std::string(line) + "\r\n"; }
    ::send(fd, wire.data(), wire.size(), MSG_NOSIGNAL);
    return !reply.starts_with("421");
  }
  std::optional<std::string> read_line(int fd, std::string& buffer) {
    for (;;) {
      if (const auto end = buffer.find("\r\n"); end != std::string::npos) {
        std::string line = buffer.substr(0, end);
        buffer.erase(0, end + 2);
        return line;
      }
      pollfd wait{fd, POLLIN, 0};
      if (stop_) { return std::nullopt; }
      if (::poll(&wait, 1, 20) == 0) { continue; }
      char bytes[4096];
      const auto n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) { return std::nullopt; }
      buffer.append(bytes, static_cast<std::size_t>(n));
    }
  }
  void serve(int fd) {
    std::string buffer;
    std::size_t accepted = 0;
    if (!say(fd, "CONNECT", "220 fake ESMTP")) { return; }
    while (const auto line = read_line(fd, buffer)) {
      const std::string verb = line->substr(0, line->find(' '));
      {
        const std::scoped_lock lock(mutex_);
        commands_.push_back(*line);
      }
      std::string usual = "250 2.0.0 ok";
      if (verb == "EHLO" || verb == "LHLO") { usual = "250-fake\n250-PIPELINING\n250-SIZE 1000000\n250 DSN"; }
      if (verb == "DATA") { usual = accepted > 0 ? "354 go" : "554 5.5.1 no valid recipients"; }
      if (verb == "QUIT") { usual = "221 bye"; }
      if (verb == "MAIL") { accepted = 0; }
      if (verb == "RCPT") {
        const std::string reply = reply_to("RCPT", usual);
        accepted += reply.starts_with("2") ? 1 : 0;
        if (reply == "drop") { return; }
        const std::string wire = reply + "\r\n";
        ::send(fd, wire.data(), wire.size(), MSG_NOSIGNAL);
        continue;
      }
      const bool has_data = verb == "DATA" && accepted > 0 && !script_.contains("DATA");
      if (!say(fd, verb, usual) || verb == "QUIT") { return; }
      if (!has_data) { continue; }
      std::string content;
      for (;;) {
        const auto text = read_line(fd, buffer);
        if (!text) { return; }
        if (*text == ".") { break; }
        content += *text + "\n";
      }
      {
        const std::scoped_lock lock(mutex_);
        content_ = content;
      }
      for (std::size_t i = 0; i < (lmtp_ ? accepted : 1); ++i) {
        if (!say(fd, "EOD", "250 2.0.0 ok, recorded")) { return; }
      }
    }
  }
  void run() {
    for (;;) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) { return; }
      ++connections_;
      serve(fd);
      ::close(fd);
    }
  }

  Script script_;
  bool lmtp_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::vector<std::string> commands_;
  std::string content_;
  std::thread thread_;
};

/// Stands in for the bounce and defer services: says yes to every report.
class FakeBounce {
 public:
  FakeBounce(net::EventLoop& loop, const std::string& path) : loop_(loop), group_(loop, "bounce", 20) {
    unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(socket.get(), 5);
    listener_.emplace(std::move(*net::Listener::create(loop, std::move(socket))));
    group_.spawn(accept());
  }
  ~FakeBounce() {
    listener_->cancel();
    loop_.run_task(group_.cancel_and_join());
  }
  FakeBounce(const FakeBounce&) = delete;
  FakeBounce& operator=(const FakeBounce&) = delete;
  int reports = 0;

 private:
  net::Task<> accept() {
    for (;;) {
      auto connection = co_await listener_->accept();
      if (!connection) { co_return; }
      group_.spawn(serve(std::move(connection->stream)));
    }
  }
  net::Task<> serve(std::unique_ptr<net::Stream> stream) {
    ipc::Channel channel(std::move(stream));
    for (;;) {
      const auto request = co_await channel.receive_as<clients::BounceAppend>(Deadline::never());
      if (!request) { co_return; }
      ++reports;
      const auto sent = co_await channel.send(clients::Ack{.ok = true, .text = ""}, within(std::chrono::seconds(5)));
      if (!sent) { co_return; }
    }
  }

  net::EventLoop& loop_;
  std::optional<net::Listener> listener_;
  net::TaskGroup group_;
};

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "smtpXXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(directory_ + "/active");
    std::filesystem::create_directories(directory_ + "/private");
    // Service sockets are found relative to queue_directory.
    std::filesystem::current_path(directory_);
    defer_ = std::make_unique<FakeBounce>(loop_, "private/defer");
    log::capture([this](log::Level, std::string_view line) { log_.emplace_back(line); });
  }
  ~AgentTest() override {
    log::capture({});
    agent_.reset();
    defer_.reset();
    std::filesystem::current_path("/");
    std::filesystem::remove_all(directory_);
  }

  void configure(const std::string& extra, Protocol protocol = Protocol::smtp) {
    auto config = config::Snapshot::from_text(
        "myhostname = me.test\nmydomain = test\ninet_interfaces = 127.0.0.9\ninet_protocols = ipv4\n"
        "smtp_helo_timeout = 1s\nsmtp_rcpt_timeout = 1s\nsmtp_data_done_timeout = 1s\nhash_queue_names = corrupt\n" +
            extra,
        "main.cf", {.process_name = "smtp"});
    ASSERT_TRUE(config) << config.error().message();
    config_ = *config;
    auto resources = Resources::open(*config_, protocol, maps::make_context(config_, &loop_));
    ASSERT_TRUE(resources) << resources.error().message();
    auto agent = Agent::create(loop_, config_, protocol, std::move(*resources));
    ASSERT_TRUE(agent) << agent.error().message();
    agent_ = std::move(*agent);
  }

  /// Puts a message into active/ and delivers it; the delivery lines of the log, without ID and delays.
  std::vector<std::string> deliver(const std::string& nexthop, const std::vector<std::string>& recipients,
                                   const std::string& content = "Subject: x\n\n.dot\nbody\n", std::uint32_t flags = 0,
                                   const std::string& encoding = "7bit") {
    const queue::QueueDirectory directory(directory_, {{}, 1});
    auto writer = queue::MessageWriter::create(directory, queue::QueueName::active, {});
    EXPECT_TRUE(writer) << writer.error().message();
    const std::string placeholder = queue::format_size({});
    writer->append(queue::RecordType::size, placeholder);
    const auto now = std::chrono::system_clock::now();
    writer->append(queue::RecordType::time, "1700000000 0");
    writer->append(queue::RecordType::sender, "s@origin.test");
    delivery::DeliverRequest request{.queue_name = "active",
                                     .queue_id = writer->id().str(),
                                     .nexthop = nexthop,
                                     .transport = "smtp",
                                     .flags = flags,
                                     .arrival = now,
                                     .active_since = now,
                                     .size_bytes = content.size(),
                                     .sender = "s@origin.test",
                                     .encoding = encoding};
    for (const auto& recipient : recipients) {
      // NOTIFY=NEVER: no bounce service is needed to bounce.
      request.recipients.push_back({.address = recipient, .notify = queue::kNotifyNever, .offset = writer->offset()});
      writer->append(queue::RecordType::recipient, recipient);
    }
    const auto content_at = writer->offset() + 2;
    writer->append(queue::RecordType::content_start, "");
    for (const auto line : text::split_exact(std::string_view(content).substr(0, content.size() - 1), '\n')) {
      writer->append(queue::RecordType::line, line);
    }
    const auto content_end = writer->offset();
    writer->append(queue::RecordType::extracted_start, "");
    writer->append(queue::RecordType::end, "");
    queue::SizeRecord size;
    size.message_size = size.content_length = content_end - content_at;
    size.content_offset = content_at;
    size.recipient_count = static_cast<std::int64_t>(recipients.size());
    EXPECT_TRUE(writer->patch_record(0, queue::RecordType::size, queue::format_size(size)));
    EXPECT_TRUE(writer->flush());
    writer->committed();

    log_.clear();
    clients::BounceClient bounce(loop_, *config_);
    auto attempt = delivery::Attempt::open(request, directory, config_, bounce);
    EXPECT_TRUE(attempt) << attempt.error().message();
    if (!attempt) { return {}; }
    loop_.run_task(agent_->deliver(*attempt));
    reply_ = attempt->reply();
    std::vector<std::string> lines;
    const std::string id = request.queue_id + ": ";
    for (std::string line : log_) {
      if (line.starts_with("warning: connect private/") || line.starts_with("warning: " + id)) { continue; }
      if (line.starts_with(id)) { line.erase(0, id.size()); }
      if (line.starts_with("warning")) { continue; }
      const auto from = line.find("delay=");
      if (from != std::string::npos) { line.erase(from, line.find("dsn=") - from); }
      lines.push_back(line);
    }
    return lines;
  }
  std::string one(FakeServer::Script script, const std::string& extra = "") {
    FakeServer server(std::move(script));
    configure(extra);
    const auto lines = deliver(server.nexthop(), {"a@x.test"});
    if (lines.empty()) { return ""; }
    const std::string prefix = "to=<a@x.test>, relay=" + server.relay() + ", ";
    const std::string& last = lines.back();
    return last.starts_with(prefix) ? last.substr(prefix.size()) : last;
  }

  net::EventLoop loop_;
  std::string directory_;
  config::SnapshotPtr config_;
  std::unique_ptr<FakeBounce> defer_;
  std::unique_ptr<Agent> agent_;
  delivery::DeliverReply reply_;
  std::vector<std::string> log_;
};

TEST_F(AgentTest, DeliversToSeveralRecipientsInOneTransaction) {
  FakeServer server({});
  configure("");
  const auto lines = deliver(server.nexthop(), {"a@x.test", "b@x.test"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], "to=<a@x.test>, relay=" + server.relay() + ", dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
  EXPECT_TRUE(reply_.complete);
  EXPECT_EQ(server.content(), "Subject: x\n\n..dot\nbody\n") << "dots are doubled";
  const auto commands = server.commands();
  ASSERT_GE(commands.size(), 5U);
  EXPECT_EQ(commands[0], "EHLO me.test");
  EXPECT_EQ(commands[1],
            "MAIL FROM:<s@origin.test> SIZE=" + std::to_string(std::string("Subject: x\n\n.dot\nbody\n").size()));
  EXPECT_EQ(commands[2], "RCPT TO:<a@x.test> NOTIFY=NEVER");
  EXPECT_EQ(commands[4], "DATA");
}

TEST_F(AgentTest, EachStageFailsInItsOwnWords) {
  EXPECT_EQ(one({{"CONNECT", {"554 5.3.2 not today"}}}),
            "dsn=4.3.2, status=deferred (host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.3.2 not today)");
  EXPECT_EQ(one({{"CONNECT", {"drop"}}}),
            "dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while receiving the initial server "
            "greeting)");
  EXPECT_EQ(one({{"CONNECT", {"silence"}}}),
            "dsn=4.4.2, status=deferred (conversation with 127.0.0.1[127.0.0.1] timed out while receiving the initial "
            "server greeting)");
  EXPECT_EQ(one({{"EHLO", {"500 what"}}, {"HELO", {"550 5.7.1 go away"}}}),
            "dsn=5.7.1, status=bounced (host 127.0.0.1[127.0.0.1] refused to talk to me: 550 5.7.1 go away)");
  EXPECT_EQ(one({{"EHLO", {"421 4.3.2 busy"}}}),
            "dsn=4.3.2, status=deferred (host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 busy)");
  EXPECT_EQ(
      one({{"EHLO", {"drop"}}}),
      "dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while performing the EHLO handshake)");
  EXPECT_EQ(
      one({{"MAIL", {"421 4.1.8 later"}}}),
      "dsn=4.1.8, status=deferred (host 127.0.0.1[127.0.0.1] said: 421 4.1.8 later (in reply to MAIL FROM command))");
  EXPECT_EQ(one({{"MAIL", {"drop"}}}),
            "dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while sending MAIL FROM)");
  EXPECT_EQ(one({{"RCPT", {"450-4.1.8 later\r\n450 4.1.8 more"}}}),
            "dsn=4.1.8, status=deferred (host 127.0.0.1[127.0.0.1] said: 450-4.1.8 later 450 4.1.8 more (in reply to "
            "RCPT TO command))");
  EXPECT_EQ(one({{"DATA", {"554 5.6.0 no"}}}),
            "dsn=5.6.0, status=bounced (host 127.0.0.1[127.0.0.1] said: 554 5.6.0 no (in reply to DATA command))");
  EXPECT_EQ(
      one({{"EOD", {"554 no code"}}}),
      "dsn=5.0.0, status=bounced (host 127.0.0.1[127.0.0.1] said: 554 no code (in reply to end of DATA command))");
  EXPECT_EQ(
      one({{"EOD", {"drop"}}}),
      "dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while sending end of data -- message "
      "may be sent more than once)");
  EXPECT_EQ(one({{"EHLO", {"500 what"}}}), "dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)") << "HELO will do";
  EXPECT_EQ(one({{"EHLO", {"250-fake\n250 SIZE 10"}}}),
            "dsn=5.3.4, status=bounced (message size 22 exceeds size limit 10 of server 127.0.0.1[127.0.0.1])");
}

TEST_F(AgentTest, ConnectionRefused) {
  std::string nexthop;
  std::string relay;
  {
    const FakeServer gone({});
    nexthop = gone.nexthop();
    relay = gone.relay();
  }
  configure("");
  const auto lines = deliver(nexthop, {"a@x.test"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], "connect to " + relay + ": Connection refused");
  EXPECT_EQ(lines[1],
            "to=<a@x.test>, relay=none, dsn=4.4.1, status=deferred (connect to " + relay + ": Connection refused)");
  ASSERT_TRUE(reply_.destination);
  EXPECT_EQ(reply_.destination->status, "4.4.1");
  EXPECT_FALSE(reply_.complete);
}

TEST_F(AgentTest, TheNextServerTakesWhatTheFirstDeferred) {
  FakeServer first({{"RCPT", {"250 ok", "450 4.2.0 greylisted"}}});
  FakeServer second({});
  configure("");
  const auto lines = deliver(first.nexthop() + ", " + second.nexthop(), {"a@x.test", "b@x.test"});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "to=<a@x.test>, relay=" + first.relay() + ", dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
  EXPECT_EQ(lines[1], "host 127.0.0.1[127.0.0.1] said: 450 4.2.0 greylisted (in reply to RCPT TO command)");
  EXPECT_EQ(lines[2], "to=<b@x.test>, relay=" + second.relay() + ", dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
  EXPECT_TRUE(reply_.complete);
}

TEST_F(AgentTest, FallbackRelayAfterAnUnreachableServer) {
  FakeServer relay({});
  configure("smtp_fallback_relay = " + relay.nexthop() + "\n");
  const auto lines = deliver("[127.0.0.1]:1", {"a@x.test"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], "connect to 127.0.0.1[127.0.0.1]:1: Connection refused");
  EXPECT_EQ(lines[1], "to=<a@x.test>, relay=" + relay.relay() + ", dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
}

TEST_F(AgentTest, OpenSessionsAreUsedAgain) {
  FakeServer server({});
  configure("");
  deliver(server.nexthop(), {"a@x.test"}, "Subject: x\n\nb\n", delivery::kSaveSession);
  const auto lines = deliver(server.nexthop(), {"b@x.test"});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0],
            "to=<b@x.test>, relay=" + server.relay() + ", conn_use=2, dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(AgentTest, KeptSessionsCountForTheConnectionLimit) {
  FakeServer first({});
  FakeServer second({});
  configure("");
  agent_->set_connection_limit(1);
  deliver(first.nexthop(), {"a@x.test"}, "Subject: x\n\nb\n", delivery::kSaveSession);
  deliver(second.nexthop(), {"b@x.test"}, "Subject: x\n\nb\n", delivery::kSaveSession);
  deliver(first.nexthop(), {"c@x.test"});
  EXPECT_EQ(first.connections(), 2) << "the first session made room for the other server";
  EXPECT_EQ(second.connections(), 1);
}

TEST_F(AgentTest, ASessionThatDiedInTheCacheCostsNothing) {
  FakeServer server({{"RSET", {"drop"}}});
  configure("");
  deliver(server.nexthop(), {"a@x.test"}, "Subject: x\n\nb\n", delivery::kSaveSession);
  const auto lines = deliver(server.nexthop(), {"b@x.test"});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], "to=<b@x.test>, relay=" + server.relay() + ", dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(AgentTest, EightBitTextIsConvertedForServersWithout8bitmime) {
  FakeServer server({});
  configure("");
  deliver(
      server.nexthop(), {"a@x.test"},
      "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nh\xc3\xa4 =\n", 0,
      "8bit");
  EXPECT_EQ(server.content(),
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
            "quoted-printable\n\nh=C3=A4 =3D\n");
}

TEST_F(AgentTest, LmtpRepliesPerRecipient) {
  FakeServer server({{"EOD", {"250 2.0.0 delivered", "450 4.2.0 x"}}}, true);
  configure("lmtp_skip_quit_response = yes\n", Protocol::lmtp);
  const auto lines = deliver("inet:" + server.nexthop(), {"a@x.test", "b@x.test"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], "to=<a@x.test>, relay=" + server.relay() + ", dsn=2.0.0, status=sent (250 2.0.0 delivered)");
  EXPECT_EQ(lines[1],
            "to=<b@x.test>, relay=" + server.relay() +
                ", dsn=4.2.0, status=deferred (host 127.0.0.1[127.0.0.1] said: 450 4.2.0 x (in reply to end of "
                "DATA command))");
  EXPECT_EQ(server.commands().front(), "LHLO me.test");
}

TEST_F(AgentTest, TlsRequiredIsNeverDowngraded) {
  EXPECT_EQ(one({}, "smtp_tls_security_level = encrypt\n"),
            "dsn=4.7.4, status=deferred (TLS is required, but was not offered by host 127.0.0.1[127.0.0.1])");
  const std::string offer = "250-fake\n250 STARTTLS";
  EXPECT_EQ(
      one({{"EHLO", {offer}}, {"STARTTLS", {"454 4.7.0 not now"}}}, "smtp_tls_security_level = encrypt\n"),
      "dsn=4.7.0, status=deferred (TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: 454 4.7.0 "
      "not now)");
  EXPECT_EQ(one({{"EHLO", {offer}}, {"STARTTLS", {"drop"}}}, "smtp_tls_security_level = encrypt\n"),
            "dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while receiving the STARTTLS "
            "response)");
  FakeServer server({});
  configure("smtp_tls_security_level = dane\n");
  const auto lines = deliver(server.nexthop(), {"a@x.test"});
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.back(),
            "to=<a@x.test>, relay=none, dsn=4.7.5, status=deferred (TLS security level \"dane\" is not supported)");
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(AgentTest, OpportunisticTlsFallsBackToPlaintext) {
  const std::string offer = "250-fake\n250 STARTTLS";
  EXPECT_EQ(one({{"EHLO", {offer}}, {"STARTTLS", {"454 4.7.0 not now"}}}, "smtp_tls_security_level = may\n"),
            "dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
  // The handshake fails: the second connection offers no TLS and is used as it is.
  EXPECT_EQ(one({{"EHLO", {offer, "250 fake"}}, {"STARTTLS", {"220 go\n not a handshake"}}},
                "smtp_tls_security_level = may\nsmtp_starttls_timeout = 1s\n"),
            "dsn=2.0.0, status=sent (250 2.0.0 ok, recorded)");
}

TEST_F(AgentTest, UnknownHostsBounceByNativeLookup) {
  configure("smtp_host_lookup = native\n");
  const auto lines = deliver("[no-such-host.invalid]", {"a@x.test"});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(lines[0].find("unable to look up host no-such-host.invalid: ") != std::string::npos) << lines[0];
}

}  // namespace
}  // namespace stagepost::smtp_client
