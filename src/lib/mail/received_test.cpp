#include "mail/received.hpp"

#include <cstdlib>
#include <ctime>
#include <string>

#include <gtest/gtest.h>

#include "mail/date.hpp"

namespace stagepost::mail {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr sys_seconds kWhen{seconds{1794576254}};

class Received : public testing::Test {
 protected:
  void SetUp() override { set_zone("UTC"); }
  void TearDown() override { set_zone("UTC"); }
  static void set_zone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
};

TEST_F(Received, DateHasZoneAndEnglishNames) {
  EXPECT_EQ(format_date(kWhen), "Fri, 13 Nov 2026 13:24:14 +0000 (UTC)");
  set_zone("XST-5:30");
  EXPECT_EQ(format_date(kWhen), "Fri, 13 Nov 2026 18:54:14 +0530 (XST)");
  set_zone("YST3");
  EXPECT_EQ(format_date(sys_seconds{seconds{0}}), "Wed, 31 Dec 1969 21:00:00 -0300 (YST)");
  EXPECT_EQ(format_date(sys_seconds{seconds{86400 * 2}}), "Fri,  2 Jan 1970 21:00:00 -0300 (YST)");
}

TEST_F(Received, ClientFieldHasPostfixLayout) {
  const ReceivedBy by{.myhostname = "mx.example", .queue_id = "ABC", .recipient = "b@y.org", .when = kWhen};
  EXPECT_EQ(received_from_client({.helo = "h", .reverse_name = "localhost", .address = "127.0.0.1"}, by),
            "Received: from h (localhost [127.0.0.1])\n\tby mx.example (Postfix) with ESMTP id ABC\n\tfor <b@y.org>; "
            "Fri, 13 Nov 2026 13:24:14 +0000 (UTC)");
}

TEST_F(Received, TlsAndLoginHaveLinesOfTheirOwn) {
  const ReceivedTls tls{.protocol = "TLSv1.3",
                        .cipher = "TLS_AES_256_GCM_SHA384",
                        .cipher_bits_used = 256,
                        .cipher_bits_available = 256,
                        .key_exchange = "X25519",
                        .server_signature = "RSA-PSS (2048 bits)",
                        .server_digest = "SHA256",
                        .client_signature = "RSA-PSS (2048 bits)",
                        .client_digest = "SHA256",
                        .peer_cn = "client.example",
                        .issuer_cn = "ca (x)",
                        .trust = ReceivedTls::Trust::not_verified};
  const ReceivedFromClient client{
      .helo = "h", .reverse_name = "r", .address = "IPv6:::1", .sasl_username = "joe", .tls = tls};
  EXPECT_EQ(received_from_client(client, {.myhostname = "mx", .protocol = "ESMTPSA", .queue_id = "ABC", .when = kWhen}),
            "Received: from h (r [IPv6:::1])\n"
            "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
            "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256\n"
            "\t client-signature RSA-PSS (2048 bits) client-digest SHA256)\n"
            "\t(Client CN \"client.example\", Issuer \"ca ?x?\" (not verified))\n"
            "\t(Authenticated sender: joe)\n"
            "\tby mx (Postfix) with ESMTPSA id ABC;\n\tFri, 13 Nov 2026 13:24:14 +0000 (UTC)");
}

TEST_F(Received, ClientBytesCannotBreakTheField) {
  const std::string field = received_from_client({.helo = "h\r\nX: y", .reverse_name = "r)", .address = "1"},
                                                 {.myhostname = "mx", .when = kWhen});
  EXPECT_TRUE(field.starts_with("Received: from h??X: y (r? [1])\n\tby mx")) << field;
}

TEST_F(Received, LocalMailNamesTheUser) {
  EXPECT_EQ(received_from_user(1000, {.myhostname = "mx", .queue_id = "ABC", .when = kWhen}),
            "Received: by mx (Postfix, from userid 1000)\n\tid ABC; Fri, 13 Nov 2026 13:24:14 +0000 (UTC)");
  EXPECT_EQ(received_internal({.myhostname = "mx", .queue_id = "ABC", .when = kWhen}),
            "Received: by mx (Postfix)\n\tid ABC; Fri, 13 Nov 2026 13:24:14 +0000 (UTC)");
}

}  // namespace
}  // namespace stagepost::mail
