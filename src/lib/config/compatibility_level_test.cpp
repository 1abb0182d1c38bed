#include "config/compatibility_level.hpp"

#include <gtest/gtest.h>

namespace stagepost::config {
namespace {

SnapshotPtr snapshot(const std::string& main_cf) {
  auto loaded = Snapshot::from_text(main_cf, "main.cf", {.config_directory = "/etc/postfix"});
  EXPECT_TRUE(loaded) << loaded.error().message();
  return *loaded;
}

TEST(CompatibilityLevel, IsOneToThreeNumbers) {
  EXPECT_EQ(parse_compatibility_level("3.6"), (CompatibilityLevel{3, 6, 0}));
  EXPECT_LT(parse_compatibility_level("3.9"), parse_compatibility_level("3.10"));
  EXPECT_TRUE(parse_compatibility_level("99999999999"));
  for (const char* bad : {"", "x", "3.x", "3.", ".3", "-1", "3.6.0.1", "3.6 x"}) {
    EXPECT_FALSE(parse_compatibility_level(bad)) << bad;
  }
}

TEST(CompatibilityLevel, AMalformedOneIsAnErrorWithItsLine) {
  const auto loaded = Snapshot::from_text("\ncompatibility_level = 3.x\n", "main.cf", {});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message(), "main.cf, line 2: malformed compatibility level syntax: \"3.x\"");
  const auto unchecked =
      Snapshot::from_text("compatibility_level = 3.x\n", "main.cf", {.check = LoadOptions::Check::no});
  ASSERT_TRUE(unchecked);
  EXPECT_EQ((*unchecked)->problems(),
            std::vector<std::string>{"main.cf, line 1: malformed compatibility level syntax: \"3.x\""});
}

TEST(CompatibilityLevel, OldDefaultsAreThoseThatNobodySet) {
  EXPECT_TRUE(uses_old_default(*snapshot(""), "append_dot_mydomain"));
  EXPECT_FALSE(uses_old_default(*snapshot("append_dot_mydomain = yes\n"), "append_dot_mydomain"));
  EXPECT_FALSE(uses_old_default(*snapshot("compatibility_level = 1\n"), "append_dot_mydomain"));
  EXPECT_TRUE(uses_old_default(*snapshot("compatibility_level = 1\n"), "relay_domains"));
  EXPECT_FALSE(uses_old_default(*snapshot("compatibility_level = 2\n"), "relay_domains"));
  EXPECT_TRUE(uses_old_default(*snapshot("compatibility_level = 3.5.99\n"), "respectful_logging"));
  EXPECT_FALSE(uses_old_default(*snapshot("compatibility_level = 3.10\n"), "respectful_logging"));
  EXPECT_FALSE(uses_old_default(*snapshot(""), "myhostname"));
}

TEST(CompatibilityLevel, BelowOneAnOpenChrootColumnIsYes) {
  constexpr std::string_view kServices =
      "smtp inet n - - - - smtpd\nlocal unix - n n - - local\npickup unix n - y 60 1 pickup\n";
  MasterCf master = *parse_master_cf(kServices, "master.cf");
  EXPECT_TRUE(apply_old_chroot_default(master, *snapshot("compatibility_level = 1\n")).empty());
  EXPECT_FALSE(master.services[0].chroot);
  EXPECT_EQ(apply_old_chroot_default(master, *snapshot("")),
            std::vector<std::string>{"master.cf: line 1: using backwards-compatible default setting chroot=y"});
  EXPECT_TRUE(master.services[0].chroot);
  EXPECT_FALSE(master.services[1].chroot);
  EXPECT_TRUE(master.services[2].chroot);
}

}  // namespace
}  // namespace stagepost::config
