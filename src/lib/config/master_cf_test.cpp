// master.cf columns, arguments and errors.
#include "config/master_cf.hpp"

#include <gtest/gtest.h>

namespace stagepost::config {
namespace {

ServiceEntry only(std::string_view content) {
  auto parsed = parse_master_cf(content, "master.cf");
  EXPECT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(parsed->services.size(), 1U);
  return parsed->services.at(0);
}

std::string error_of(std::string_view content) {
  const auto parsed = parse_master_cf(content, "/etc/master.cf");
  EXPECT_FALSE(parsed.has_value()) << content;
  return parsed ? "" : parsed.error().context;
}

TEST(MasterCf, DashesAreTheDocumentedDefaults) {
  const ServiceEntry entry = only("smtp unix - - - - - smtp\n");
  EXPECT_EQ(entry.name, "smtp");
  EXPECT_EQ(entry.type, ServiceType::unix_stream);
  EXPECT_TRUE(entry.private_);
  EXPECT_TRUE(entry.unprivileged);
  EXPECT_FALSE(entry.chroot);
  EXPECT_EQ(entry.wakeup.count(), 0);
  EXPECT_FALSE(entry.wakeup_only_if_used);
  EXPECT_EQ(entry.maxproc, std::nullopt);
  EXPECT_EQ(entry.command, "smtp");
  EXPECT_TRUE(entry.args.empty());
  EXPECT_EQ(entry.key(), "smtp/unix");
}

TEST(MasterCf, ReadsEveryColumn) {
  const ServiceEntry entry = only("tlsmgr unix-dgram n n y 1000? 0 tlsmgr -v\n");
  EXPECT_EQ(entry.type, ServiceType::unix_dgram);
  EXPECT_FALSE(entry.private_);
  EXPECT_FALSE(entry.unprivileged);
  EXPECT_TRUE(entry.chroot);
  EXPECT_EQ(entry.wakeup.count(), 1000);
  EXPECT_TRUE(entry.wakeup_only_if_used);
  EXPECT_EQ(entry.maxproc, 0U);
  EXPECT_EQ(entry.args, std::vector<std::string>{"-v"});
}

TEST(MasterCf, InetIsNeverPrivate) {
  EXPECT_FALSE(only("smtp inet - - n - - smtpd\n").private_);
  EXPECT_NE(error_of("smtp inet y - n - - smtpd\n").find("private"), std::string::npos);
}

TEST(MasterCf, OverridesInAllForms) {
  const ServiceEntry entry = only(
      "127.0.0.1:submission inet n - n - - smtpd\n"
      "  -o syslog_name=postfix/submission -o { smtpd_client_restrictions = $mua, reject }\n"
      "  # comment\n"
      "#  -o x=y\n"
      "  -oa=b -vo c= -o{d=e} last {g  h}\n");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(entry.overrides, (Pairs{{"syslog_name", "postfix/submission"},
                                    {"smtpd_client_restrictions", "$mua, reject"},
                                    {"a", "b"},
                                    {"c", ""},
                                    {"d", "e"}}));
  EXPECT_EQ(entry.args, (std::vector<std::string>{"-o", "syslog_name=postfix/submission", "-o",
                                                  "smtpd_client_restrictions=$mua, reject", "-o", "a=b", "-v", "-o",
                                                  "c=", "-o", "d=e", "last", "g  h"}));
  EXPECT_EQ(entry.columns.at(11), "{smtpd_client_restrictions=$mua, reject}");
  EXPECT_EQ(entry.columns.back(), "{g  h}");
}

TEST(MasterCf, PipeArgumentsAreKept) {
  const ServiceEntry entry =
      only("maildrop unix - n n - - pipe\n  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}\n");
  EXPECT_EQ(entry.args,
            (std::vector<std::string>{"flags=DRXhu", "user=vmail", "argv=/usr/bin/maildrop", "-d", "${recipient}"}));
  EXPECT_TRUE(entry.overrides.empty());
}

TEST(MasterCf, LaterDuplicateReplacesWithAWarning) {
  const auto parsed =
      parse_master_cf("smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nsmtp inet n - n - 5 smtpd\n", "m");
  ASSERT_TRUE(parsed.has_value());
  ASSERT_EQ(parsed->services.size(), 2U);
  EXPECT_EQ(parsed->services[0].maxproc, 5U);
  EXPECT_EQ(parsed->warnings, std::vector<std::string>{"m, line 3: duplicate entry for smtp/inet replaces line 1"});
  EXPECT_EQ(parsed->find("smtp", ServiceType::unix_stream), &parsed->services[1]);
  EXPECT_EQ(parsed->find("smtp", ServiceType::fifo), nullptr);
  EXPECT_EQ(parse_master_cf("a inet n - n - - b\na inet n - n - - b\n", "m", {}, Reading::as_written)->services.size(),
            2U);
}

TEST(MasterCf, ErrorsNameFileAndLine) {
  EXPECT_EQ(error_of("# x\nsmtp inet n - y - -\n"), "/etc/master.cf, line 2: bad field count");
  EXPECT_EQ(error_of("smtp foo n - y - - smtpd\n"), "/etc/master.cf, line 1: invalid type field \"foo\"");
  for (const char* bad : {"smtp inet n - y - - smtpd {a\n",
                          "smtp inet x - y - - smtpd\n",
                          "smtp inet N - y - - smtpd\n",
                          "smtp inet n x y - - smtpd\n",
                          "smtp inet n - x - - smtpd\n",
                          "smtp inet n - y x - smtpd\n",
                          "smtp inet n - y -1 - smtpd\n",
                          "smtp inet n - y 5?x - smtpd\n",
                          "smtp inet n - y - x smtpd\n",
                          "smtp inet n - y - 99999999999 smtpd\n",
                          "smtp inet n - y - - smtpd -o\n",
                          "smtp inet n - y - - smtpd -o foo\n",
                          "smtp inet n - y - - smtpd -vo{a=b}c=d\n",
                          "smtp inet n - y - - smtpd -o {a b = c}\n",
                          "smtp inet n - y - - smtpd {a}b\n",
                          "x/y unix n - y - - smtpd\n",
                          ".. unix n - y - - smtpd\n",
                          "x unix n - y - - ../smtpd\n",
                          "x unix n - y - - /bin/sh\n",
                          "x unix n - y - - {a b}\n",
                          "x unix n - y - - -o a=b\n"}) {
    EXPECT_TRUE(error_of(bad).starts_with("/etc/master.cf, line 1: ")) << bad;
  }
}

TEST(MasterCf, LeadingWhiteSpaceOnlyWarns) {
  const auto parsed = parse_master_cf(" smtp inet n - y - - smtpd\n", "m");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_TRUE(parsed->services.empty());
  EXPECT_EQ(parsed->warnings.size(), 1U);
}

}  // namespace
}  // namespace stagepost::config
