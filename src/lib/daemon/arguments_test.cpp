// Command lines as master writes them.
#include "daemon/arguments.hpp"

#include <gtest/gtest.h>

namespace stagepost::daemon {
namespace {

TEST(Arguments, ReadsWhatMasterWrites) {
  const auto parsed = parse_arguments({"-n", "127.0.0.1:10025", "-t", "inet", "-u", "-c", "-v", "-v", "-s", "2", "-o",
                                       "smtpd_tls_wrappermode=yes", "-osyslog_name=postfix/$service_name"},
                                      "smtpd");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->service_name, "127.0.0.1:10025");
  EXPECT_EQ(parsed->service_type, "inet");
  EXPECT_TRUE(parsed->unprivileged && parsed->chroot);
  EXPECT_EQ(parsed->verbosity, 2U);
  EXPECT_EQ(parsed->listeners, 2U);
  ASSERT_EQ(parsed->overrides.size(), 2U);
  EXPECT_EQ(parsed->overrides[1].first, "syslog_name");
  EXPECT_EQ(parsed->overrides[1].second, "postfix/$service_name");
  EXPECT_TRUE(parsed->rest.empty());
}

TEST(Arguments, TheProgramsOwnArgumentsStayUntouched) {
  const auto parsed =
      parse_arguments({"-t", "unix", "flags=DRXhu", "user=vmail", "argv=/bin/deliver", "-d", "${user}"}, "pipe");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->service_name, "pipe");
  EXPECT_EQ(parsed->rest,
            (std::vector<std::string>{"flags=DRXhu", "user=vmail", "argv=/bin/deliver", "-d", "${user}"}));
}

TEST(Arguments, LongFormOverridesLoseTheirOuterBlanks) {
  const auto parsed = parse_arguments({"-o", " mynetworks = 127.0.0.0/8, [::1]/128 "}, "smtpd");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->overrides.front(), (std::pair<std::string, std::string>{"mynetworks", "127.0.0.0/8, [::1]/128"}));
}

TEST(Arguments, MistakesAreErrors) {
  for (const auto& bad : std::vector<std::vector<std::string>>{
           {"-x"}, {"-n"}, {"-o", "name"}, {"-o", "=value"}, {"-s", "many"}, {"-s", "1001"}}) {
    EXPECT_FALSE(parse_arguments(bad, "smtpd").has_value()) << bad.front();
  }
}

}  // namespace
}  // namespace stagepost::daemon
