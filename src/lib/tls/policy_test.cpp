#include "tls/policy.hpp"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "config/snapshot.hpp"

namespace stagepost::tls {
namespace {

config::SnapshotPtr snapshot(std::string_view main_cf) {
  auto made = config::Snapshot::from_text(main_cf, "main.cf", {.process_name = "smtp"});
  EXPECT_TRUE(made) << made.error().message();
  return *made;
}

TEST(TlsLevel, NamesAreReadAndWritten) {
  for (const char* name : {"none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure"}) {
    const auto level = parse_level(name);
    ASSERT_TRUE(level) << name;
    EXPECT_EQ(level_name(*level), name);
  }
  EXPECT_EQ(parse_level("MAY"), Level::may);
  EXPECT_FALSE(parse_level("halfdane"));
  EXPECT_FALSE(parse_level(""));
  EXPECT_FALSE(is_mandatory(Level::dane));
  EXPECT_TRUE(is_mandatory(Level::dane_only));
}

TEST(TlsProtocols, RangesExclusionsAndLists) {
  EXPECT_EQ(*parse_protocols(">=TLSv1"), (ProtocolRange{TLS1_VERSION, 0, 0}));
  EXPECT_EQ(*parse_protocols(">=tlsv1.2, <=TLSv1.3"), (ProtocolRange{TLS1_2_VERSION, TLS1_3_VERSION, 0}));
  EXPECT_EQ(*parse_protocols("!SSLv2, !SSLv3"), (ProtocolRange{0, 0, SSL_OP_NO_SSLv3}));
  EXPECT_EQ(*parse_protocols("TLSv1.2:TLSv1.3"),
            (ProtocolRange{0, 0, SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1}));
  EXPECT_EQ(*parse_protocols(">=0x0303"), (ProtocolRange{TLS1_2_VERSION, 0, 0}));
  EXPECT_EQ(*parse_protocols(""), ProtocolRange{});
  EXPECT_FALSE(parse_protocols("TLSv1.9"));
  EXPECT_FALSE(parse_protocols(">="));
  EXPECT_FALSE(parse_protocols(">=0x1ffff"));
}

TEST(TlsCiphers, ExclusionsAreAppended) {
  EXPECT_EQ(*cipher_list("HIGH:MEDIUM", "RC4, aNULL MD5"), "HIGH:MEDIUM:!RC4:!aNULL:!MD5");
  EXPECT_EQ(*cipher_list("HIGH", "ECDHE-RSA-DES-CBC3-SHA"), "HIGH:!ECDHE-RSA-DES-CBC3-SHA");
  EXPECT_FALSE(cipher_list("HIGH", "!RC4"));
  EXPECT_FALSE(cipher_list("HIGH", "@STRENGTH"));
}

TEST(ClientPolicyTest, LevelsFromConfiguration) {
  EXPECT_EQ(client_policy(*snapshot(""), "smtp").level, Level::none);
  EXPECT_EQ(client_policy(*snapshot("smtp_use_tls = yes"), "smtp").level, Level::may);
  const auto encrypt =
      client_policy(*snapshot("smtp_tls_security_level = encrypt\nsmtp_tls_mandatory_protocols = >=TLSv1.2"), "smtp");
  EXPECT_EQ(encrypt.level, Level::encrypt);
  EXPECT_EQ(encrypt.protocols.minimum, TLS1_2_VERSION);
  EXPECT_EQ(encrypt.refuse, "");
  EXPECT_EQ(client_policy(*snapshot("smtp_tls_security_level = encrypt"), "lmtp").level, Level::none);
}

TEST(ClientPolicyTest, WhatCannotBeHonouredRefuses) {
  for (const char* level : {"dane", "dane-only", "verify", "secure", "fingerprint"}) {
    const auto policy = client_policy(*snapshot(std::string("smtp_tls_security_level = ") + level), "smtp");
    EXPECT_NE(policy.refuse, "") << level;
  }
  EXPECT_NE(client_policy(*snapshot("smtp_tls_security_level = encryt"), "smtp").refuse, "");
  EXPECT_NE(client_policy(*snapshot("smtp_enforce_tls = yes"), "smtp").refuse, "") << "means verify";
  EXPECT_NE(client_policy(*snapshot("smtp_tls_security_level = may\nsmtp_tls_protocols = TLSv9"), "smtp").refuse, "");
}

TEST(ClientPolicyTest, TableEntries) {
  const auto config = snapshot("");
  const auto strict = policy_from_table(*config, "smtp", "encrypt protocols=>=TLSv1.3 ciphers=high exclude=RC4:MD5");
  EXPECT_EQ(strict.refuse, "");
  EXPECT_EQ(strict.level, Level::encrypt);
  EXPECT_EQ(strict.protocols.minimum, TLS1_3_VERSION);
  EXPECT_TRUE(strict.ciphers.ends_with(":!RC4:!MD5"));
  EXPECT_EQ(policy_from_table(*config, "smtp", "none").level, Level::none);
  EXPECT_NE(policy_from_table(*config, "smtp", "").refuse, "");
  EXPECT_NE(policy_from_table(*config, "smtp", "secure match=nexthop").refuse, "");
  EXPECT_NE(policy_from_table(*config, "smtp", "may colour=blue").refuse, "");
  EXPECT_NE(policy_from_table(*config, "smtp", "may protocols").refuse, "");
  EXPECT_NE(strict.key(), policy_from_table(*config, "smtp", "encrypt").key());
}

}  // namespace
}  // namespace stagepost::tls
