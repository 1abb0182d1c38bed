// The registry's own consistency: order, types of the defaults, units.
#include "config/registry.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace stagepost::config {
namespace {

TEST(Registry, IsSortedAndHasEachNameOnce) {
  const auto rows = parameters();
  ASSERT_GT(rows.size(), 831U);
  for (std::size_t i = 1; i < rows.size(); ++i) { EXPECT_LT(rows[i - 1].name, rows[i].name); }
}

TEST(Registry, FindsEveryParameterAndNothingElse) {
  for (const Parameter& row : parameters()) {
    const auto found = find_parameter(row.name);
    ASSERT_TRUE(found) << row.name;
    EXPECT_EQ(found->name, row.name);
    EXPECT_EQ(found->default_text, row.default_text);
  }
  EXPECT_FALSE(find_parameter("no_such_parameter"));
  EXPECT_FALSE(find_parameter(""));
  EXPECT_FALSE(find_parameter("zzz"));
}

TEST(Registry, DifferencesReplaceAndAdd) {
  EXPECT_EQ(find_parameter("default_database_type")->default_text, "lmdb");
  EXPECT_EQ(find_parameter("smtpd_forbid_bare_newline")->default_text, "normalize");
  EXPECT_EQ(find_parameter("smtpd_forbid_unauth_pipelining")->default_text, "yes");
  EXPECT_EQ(find_parameter("process_session_limit")->default_text, "1000");
  EXPECT_EQ(find_parameter("queue_journal")->type, Type::boolean);
  EXPECT_EQ(find_parameter("mail_name")->default_text, "Postfix");
  EXPECT_EQ(find_parameter("mail_version")->default_text, "3.7.11");
}

TEST(Registry, KnowsWhatLaterReleasesAdded) {
  EXPECT_EQ(find_parameter("smtpd_client_ipv6_prefix_length")->maximum, 128);
  EXPECT_EQ(find_parameter("use_srv_lookup")->default_text, "");
  EXPECT_EQ(find_parameter("requiretls_enable")->type, Type::boolean);
  EXPECT_EQ(find_parameter("smtp_tlsrpt_skip_reused_handshakes")->default_text, "no");
}

TEST(Registry, TypesFollowTheDocumentation) {
  struct Case {
    const char* name;
    Type type;
    char unit;
  };
  for (const Case& c :
       {Case{"message_size_limit", Type::integer, 's'}, Case{"bounce_queue_lifetime", Type::time, 'd'},
        Case{"delay_warning_time", Type::time, 'h'}, Case{"smtpd_timeout", Type::time, 's'},
        Case{"smtputf8_enable", Type::boolean, 's'}, Case{"default_rbl_reply", Type::raw, 's'},
        Case{"smtp_tcp_port", Type::text, 's'}, Case{"postscreen_dnsbl_max_ttl", Type::time, 'h'},
        Case{"smtpd_hard_error_limit", Type::integer, 's'}, Case{"compatibility_level", Type::text, 's'}}) {
    const auto parameter = find_parameter(c.name);
    ASSERT_TRUE(parameter) << c.name;
    EXPECT_EQ(parameter->type, c.type) << c.name;
    if (c.type == Type::time) { EXPECT_EQ(parameter->time_unit, c.unit) << c.name; }
  }
}

TEST(Registry, ServiceParameterIsTheLongestSuffix) {
  EXPECT_EQ(find_service_parameter("relay_destination_recipient_limit")->suffix, "_destination_recipient_limit");
  EXPECT_EQ(find_service_parameter("relay_recipient_limit")->suffix, "_recipient_limit");
  EXPECT_TRUE(find_service_parameter("policy_time_limit")->only_commands);
  EXPECT_EQ(find_service_parameter("_recipient_limit"), nullptr);
  EXPECT_EQ(find_service_parameter("relay_domains"), nullptr);
  for (const ServiceParameter& row : service_parameters()) {
    ASSERT_TRUE(row.default_text.starts_with('$'));
    ASSERT_TRUE(find_parameter(row.default_text.substr(1))) << row.default_text;
    EXPECT_EQ(find_parameter(row.default_text.substr(1))->type, row.type) << row.suffix;
  }
}

TEST(ParseTime, KnowsUnitsAndLimits) {
  EXPECT_EQ(parse_time("5", 's'), 5);
  EXPECT_EQ(parse_time("5", 'd'), 5 * 86400);
  EXPECT_EQ(parse_time("5s", 'd'), 5);
  EXPECT_EQ(parse_time("2m", 's'), 120);
  EXPECT_EQ(parse_time("2h", 's'), 7200);
  EXPECT_EQ(parse_time("1w", 's'), 604800);
  EXPECT_EQ(parse_time("2147483647", 's'), 2147483647);
  // Not looked at, as with Postfix: what follows the unit.
  EXPECT_EQ(parse_time("5minutes", 's'), 300);
  EXPECT_EQ(parse_time("5m 3h", 's'), 300);
  EXPECT_EQ(parse_time("+5", 's'), 5);
  EXPECT_EQ(parse_time("m", 's'), 0);
  EXPECT_EQ(parse_time("2147483648", 's'), std::nullopt);
  EXPECT_EQ(parse_time("99999999999999999999d", 's'), std::nullopt);
  EXPECT_EQ(parse_time("24856d", 's'), std::nullopt);
  for (const char* bad : {"", "+", "-1", "5x", "5 s", "0x5", "1.5h", "5M", "x5"}) {
    EXPECT_EQ(parse_time(bad, 's'), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace stagepost::config
