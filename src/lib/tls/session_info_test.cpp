#include "tls/session_info.hpp"

#include <gtest/gtest.h>

namespace stagepost::tls {
namespace {

SessionInfo tls13() {
  SessionInfo s;
  s.protocol = "TLSv1.3";
  s.cipher = "TLS_AES_256_GCM_SHA384";
  s.cipher_bits_used = s.cipher_bits_available = 256;
  s.key_exchange = "X25519";
  s.server_signature = "RSA-PSS (2048 bits)";
  s.server_digest = "SHA256";
  return s;
}

TEST(SessionInfo, EstablishedLineIsPostfixs) {
  EXPECT_EQ(established_line(Role::server, "c.example[192.0.2.1]", tls13()),
            "Anonymous TLS connection established from c.example[192.0.2.1]: TLSv1.3 with cipher "
            "TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) "
            "server-digest SHA256");
  SessionInfo old = tls13();
  old.protocol = "TLSv1.2";
  old.cipher = "AES256-SHA";
  old.key_exchange = old.server_signature = old.server_digest = "";
  old.trust = Trust::untrusted;
  old.resumed = true;
  EXPECT_EQ(established_line(Role::client, "mx.example[192.0.2.1]:25", old),
            "Untrusted TLS connection reused to mx.example[192.0.2.1]:25: TLSv1.2 with cipher AES256-SHA (256/256 "
            "bits)");
}

}  // namespace
}  // namespace stagepost::tls
