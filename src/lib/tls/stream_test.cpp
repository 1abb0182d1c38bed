#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "log/log.hpp"
#include "net/buffered_stream.hpp"
#include "net/error.hpp"
#include "net/event_loop.hpp"
#include "net/scripted_stream.hpp"
#include "net/socket_stream.hpp"
#include "net/task_group.hpp"
#include "tls/context.hpp"

namespace stagepost::tls {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A fresh self-signed certificate and its key in one PEM file.
void write_certificate(const std::string& path, EVP_PKEY* key, const char* name) {
  X509* const certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_sign(certificate, key, EVP_sha256());
  FILE* const file = std::fopen(path.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  PEM_write_X509(file, certificate);
  std::fclose(file);
  X509_free(certificate);
}

class TlsStreamTest : public testing::Test {
 protected:
  TlsStreamTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tlsXXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    // One RSA key for all tests: making it takes half a second.
    static const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> rsa_key(
        EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}), &EVP_PKEY_free);
    EVP_PKEY* const rsa = rsa_key.get();
    EVP_PKEY* const ec = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    write_certificate(directory_ + "/rsa.pem", rsa, "server.example");
    write_certificate(directory_ + "/ec.pem", ec, "client.example");
    EVP_PKEY_free(ec);
    server_settings_.credentials.cert_file = directory_ + "/rsa.pem";
    server_settings_.credentials.loglevel = 1;
    server_settings_.ciphers = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH";
    server_settings_.protocols = *parse_protocols(">=TLSv1");
    server_settings_.level = Level::may;
    client_credentials_.loglevel = 1;
    policy_.level = Level::may;
    policy_.ciphers = server_settings_.ciphers;
    log::capture([this](log::Level, std::string_view line) { log_.emplace_back(line); });
  }
  ~TlsStreamTest() override {
    log::capture({});
    std::filesystem::remove_all(directory_);
  }

  /// Ends of a socket pair as streams.
  std::pair<std::unique_ptr<net::Stream>, std::unique_ptr<net::Stream>> pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return {std::move(*net::make_stream(loop_, unique_fd(fds[0]))),
            std::move(*net::make_stream(loop_, unique_fd(fds[1])))};
  }

  static net::Task<> do_accept(std::shared_ptr<const ServerContext> context, std::unique_ptr<net::Stream> lower,
                               milliseconds limit, std::optional<Result<Established>>& out) {
    out = co_await accept(std::move(context), std::move(lower), "client.example[192.0.2.1]", within(limit));
  }
  static net::Task<> do_connect(std::shared_ptr<const ClientContext> context, const ClientPolicy& policy,
                                std::unique_ptr<net::Stream> lower, std::optional<Result<Established>>& out) {
    out = co_await connect(std::move(context), policy, std::move(lower), "server.example[192.0.2.2]:25",
                           "server.example", within(seconds(5)));
  }
  static net::Task<> join(net::TaskGroup& group) { co_await group.join(); }

  void handshake() {
    auto server = ServerContext::create(server_settings_);
    auto client = ClientContext::create(client_credentials_);
    ASSERT_TRUE(server) << server.error().message();
    ASSERT_TRUE(client) << client.error().message();
    auto [a, b] = pair();
    net::TaskGroup group(loop_, "test", 2);
    group.spawn(do_accept(*server, std::move(a), seconds(5), server_));
    group.spawn(do_connect(*client, policy_, std::move(b), client_));
    loop_.run_task(join(group));
  }

  static net::Task<> send(net::Stream& stream, const std::string& bytes, Result<>& out) {
    out = co_await stream.write_all(bytes, within(seconds(10)));
  }
  static net::Task<> receive(net::Stream& stream, std::size_t size, std::string& out) {
    while (out.size() < size) {
      const auto n = co_await stream.append_some(out, size - out.size(), within(seconds(10)));
      if (!n || *n == 0) { co_return; }
    }
  }
  static net::Task<> read_once(net::Stream& stream, milliseconds limit, Result<std::size_t>& out) {
    char buffer[16];
    out = co_await stream.read_some(buffer, within(limit));
  }

  net::EventLoop loop_;
  std::string directory_;
  ServerSettings server_settings_;
  Credentials client_credentials_;
  ClientPolicy policy_;
  std::vector<std::string> log_;
  std::optional<Result<Established>> server_;
  std::optional<Result<Established>> client_;
};

TEST_F(TlsStreamTest, HandshakeSaysWhatWasAgreed) {
  handshake();
  ASSERT_TRUE(*server_) << server_->error().message();
  ASSERT_TRUE(*client_) << client_->error().message();
  const SessionInfo& session = (*server_)->session;
  EXPECT_EQ(session.trust, Trust::anonymous);
  EXPECT_EQ(describe_session(session),
            "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS "
            "(2048 bits) server-digest SHA256");
  EXPECT_EQ((*client_)->session.trust, Trust::untrusted);
  EXPECT_EQ((*client_)->session.peer_cn, "server.example");
  EXPECT_EQ((*client_)->session.certificate_fingerprint.size(), 32U * 3 - 1);
  EXPECT_EQ(describe_session((*client_)->session), describe_session(session));
  const std::string line =
      "Anonymous TLS connection established from client.example[192.0.2.1]: " + describe_session(session);
  EXPECT_TRUE(std::ranges::find(log_, line) != log_.end());
}

TEST_F(TlsStreamTest, ClientCertificateIsSeenAndJudged) {
  server_settings_.ask_certificate = true;
  server_settings_.credentials.ca_file = directory_ + "/ec.pem";
  client_credentials_.cert_file = directory_ + "/ec.pem";
  client_credentials_.ca_file = directory_ + "/rsa.pem";
  handshake();
  ASSERT_TRUE(*server_);
  ASSERT_TRUE(*client_);
  EXPECT_EQ((*server_)->session.trust, Trust::trusted);
  EXPECT_EQ((*server_)->session.peer_cn, "client.example");
  EXPECT_EQ((*client_)->session.trust, Trust::trusted);
}

TEST_F(TlsStreamTest, OldProtocolsWhenBothWantThem) {
  policy_.protocols = *parse_protocols("<=TLSv1.2");
  handshake();
  ASSERT_TRUE(*server_);
  EXPECT_EQ((*server_)->session.protocol, "TLSv1.2");
  EXPECT_EQ((*server_)->session.key_exchange, "");
}

TEST_F(TlsStreamTest, NoCommonProtocolIsAnErrorOnBothSides) {
  server_settings_.protocols = *parse_protocols(">=TLSv1.3");
  policy_.protocols = *parse_protocols("<=TLSv1.2");
  handshake();
  EXPECT_FALSE(*server_);
  EXPECT_FALSE(*client_);
  EXPECT_EQ(server_->error().code, std::errc::protocol_error);
  EXPECT_TRUE(std::ranges::find(log_, "SSL_accept error from client.example[192.0.2.1]: -1") != log_.end());
}

TEST_F(TlsStreamTest, HugeWritesBothWaysAtOnce) {
  handshake();
  ASSERT_TRUE(*server_);
  ASSERT_TRUE(*client_);
  std::string big(3'000'000, 'x');
  for (std::size_t i = 0; i < big.size(); ++i) { big[i] = static_cast<char>(i * 7 % 251); }
  std::string at_server;
  std::string at_client;
  Result<> sent_by_server;
  Result<> sent_by_client;
  net::TaskGroup group(loop_, "test", 4);
  group.spawn(send(*(*server_)->stream, big, sent_by_server));
  group.spawn(send(*(*client_)->stream, big, sent_by_client));
  group.spawn(receive(*(*server_)->stream, big.size(), at_server));
  group.spawn(receive(*(*client_)->stream, big.size(), at_client));
  loop_.run_task(join(group));
  EXPECT_TRUE(sent_by_server);
  EXPECT_TRUE(sent_by_client);
  EXPECT_TRUE(at_server == big);
  EXPECT_TRUE(at_client == big);
}

TEST_F(TlsStreamTest, CloseIsEndOfStreamForThePeerAndTimeoutsAreTimeouts) {
  handshake();
  ASSERT_TRUE(*server_);
  ASSERT_TRUE(*client_);
  Result<std::size_t> read;
  loop_.run_task(read_once(*(*server_)->stream, milliseconds(20), read));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, std::errc::timed_out);
  (*client_)->stream->close();
  loop_.run_task(read_once(*(*server_)->stream, seconds(5), read));
  EXPECT_EQ(read.value_or(99), 0U);
}

TEST_F(TlsStreamTest, PeerGoneInTheMiddleOfTheHandshake) {
  auto server = ServerContext::create(server_settings_);
  ASSERT_TRUE(server);
  auto [a, b] = pair();
  b.reset();
  loop_.run_task(do_accept(*server, std::move(a), seconds(5), server_));
  ASSERT_FALSE(*server_);
  EXPECT_EQ(server_->error().code, net::Errc::end_of_stream);
  EXPECT_EQ(log_.back(), "SSL_accept error from client.example[192.0.2.1]: lost connection");
}

TEST_F(TlsStreamTest, SilentPeerTimesOut) {
  auto server = ServerContext::create(server_settings_);
  ASSERT_TRUE(server);
  auto [a, b] = pair();
  loop_.run_task(do_accept(*server, std::move(a), milliseconds(30), server_));
  ASSERT_FALSE(*server_);
  EXPECT_EQ(server_->error().code, std::errc::timed_out);
}

TEST_F(TlsStreamTest, PlaintextInsteadOfAHandshakeIsRefused) {
  auto server = ServerContext::create(server_settings_);
  ASSERT_TRUE(server);
  auto script = std::make_shared<net::Script>();
  script->send("EHLO evil.example\r\nMAIL FROM:<>\r\n").hang_up();
  loop_.run_task(do_accept(*server, std::make_unique<net::ScriptedStream>(script), seconds(5), server_));
  ASSERT_FALSE(*server_);
  EXPECT_EQ(server_->error().code, std::errc::protocol_error);
  EXPECT_TRUE(script->closed);
}

TEST_F(TlsStreamTest, GarbageAfterTheHandshakeIsAnErrorNotData) {
  handshake();
  ASSERT_TRUE(*server_);
  ASSERT_TRUE(*client_);
  const int fd = (*client_)->stream->native_handle();
  ASSERT_EQ(::send(fd, "QUIT\r\nQUIT\r\n", 12, 0), 12);
  Result<std::size_t> read;
  loop_.run_task(read_once(*(*server_)->stream, seconds(5), read));
  EXPECT_FALSE(read);
}

net::Task<> starttls(net::BufferedStream& plain, std::shared_ptr<const ServerContext> context, bool& had_input,
                     std::string& first_command) {
  const auto line = co_await plain.read_line(512, within(seconds(5)));
  if (!line) { co_return; }
  // Commands sent ahead in the clear must not be run under TLS (RFC 3207 §4.2).
  had_input = !plain.buffered().empty();
  plain.discard_input();
  const auto ready = co_await plain.transport().write_all("220\r\n", within(seconds(5)));
  if (!ready) { co_return; }
  auto tls = co_await accept(std::move(context), plain.release_transport(), "c[192.0.2.1]", within(seconds(5)));
  if (!tls) { co_return; }
  plain.set_transport(std::move(tls->stream));
  const auto command = co_await plain.read_line(512, within(seconds(5)));
  if (command) { first_command = command->text; }
}
net::Task<> inject(std::unique_ptr<net::Stream> stream, std::shared_ptr<const ClientContext> context,
                   const ClientPolicy& policy) {
  const auto sent = co_await stream->write_all("STARTTLS\r\nRSET injected\r\n", within(seconds(5)));
  if (!sent) { co_return; }
  char reply[5];
  const auto ready = co_await stream->read_some(reply, within(seconds(5)));
  if (!ready) { co_return; }
  auto tls = co_await connect(std::move(context), policy, std::move(stream), "s[192.0.2.2]:25", "", within(seconds(5)));
  if (!tls) { co_return; }
  const auto under_tls = co_await tls->stream->write_all("EHLO later\r\n", within(seconds(5)));
  EXPECT_TRUE(under_tls);
}

TEST_F(TlsStreamTest, WhatWasSentBeforeTheHandshakeIsNotReadAfterIt) {
  auto server = ServerContext::create(server_settings_);
  auto client = ClientContext::create(client_credentials_);
  auto [a, b] = pair();
  net::BufferedStream plain(std::move(a));
  bool had_input = false;
  std::string first_command;
  net::TaskGroup group(loop_, "test", 2);
  group.spawn(inject(std::move(b), *client, policy_));
  group.spawn(starttls(plain, *server, had_input, first_command));
  loop_.run_task(join(group));
  EXPECT_TRUE(had_input);
  EXPECT_EQ(first_command, "EHLO later");
}

TEST_F(TlsStreamTest, BadFilesAreNamed) {
  server_settings_.credentials.cert_file = directory_ + "/absent.pem";
  const auto absent = ServerContext::create(server_settings_);
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().context.find("absent.pem"), std::string::npos);
  server_settings_.credentials.cert_file = directory_ + "/rsa.pem";
  server_settings_.credentials.key_file = directory_ + "/ec.pem";
  EXPECT_FALSE(ServerContext::create(server_settings_)) << "key of another certificate";
  server_settings_.credentials.cert_file = "";
  EXPECT_FALSE(ServerContext::create(server_settings_)) << "no certificate at all";
}

}  // namespace
}  // namespace stagepost::tls
