// Which names are used, unused or undefined.
#include "config/name_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

NameUse check(std::string_view main_cf, std::string_view master_cf = "") {
  const auto config = Snapshot::from_text(main_cf, "main.cf", {.check = LoadOptions::Check::no});
  const auto master = parse_master_cf(master_cf, "master.cf");
  EXPECT_TRUE(config.has_value() && master.has_value());
  return check_names(**config, *master);
}

std::vector<std::string> unused_names(const NameUse& use) {
  std::vector<std::string> names;
  for (const auto& item : use.unused) { names.push_back(item.name); }
  return names;
}

TEST(ReferencedNames, FindsEachForm) {
  EXPECT_THAT(referenced_names("$a ${b?{$c}} $(d) $$e ${{$f} <level {1} ? {$g} : {}} $- ${ h }"),
              ElementsAre("a", "b", "c", "d", "f", "g", "h"));
  EXPECT_THAT(referenced_names("$"), IsEmpty());
}

TEST(NameCheck, UnusedNamesAreFoundWithASuggestion) {
  const NameUse use = check("smtpd_baner = x\nzz = y\n");
  ASSERT_EQ(use.unused.size(), 2U);
  EXPECT_EQ(use.unused[0].name, "smtpd_baner");
  EXPECT_EQ(nearest_parameter("smtpd_baner"), "smtpd_banner");
  EXPECT_EQ(use.unused[0].file, "main.cf");
  EXPECT_EQ(nearest_parameter("zz"), "");
}

TEST(NameCheck, ReferencesClassesTablesAndOldNamesCountAsUse) {
  const NameUse use = check(
      "a = $b\nb = 1\nself = $self\nsmtpd_restriction_classes = cls\ncls = reject\nvirtual_maps = y\n"
      "virtual_alias_maps = proxy:ldap:dir\ndir_server_host = h\n");
  EXPECT_THAT(use.user_names, ElementsAre("b", "cls", "dir_server_host", "self", "virtual_maps"));
  EXPECT_THAT(unused_names(use), ElementsAre("a"));
  EXPECT_THAT(use.undefined, IsEmpty());
}

TEST(NameCheck, TableParametersAreThoseOfTheTypeWhereverTheTableIsNamed) {
  const NameUse use = check(
      "virtual_alias_maps = unionmap:{ldap:uf,proxy:mysql:pm} ldap:$dir proxy:proxy:ldap:twice /x\n"
      "dir = staff\nuf_bind = no\nuf_user = x\npm_user = y\npm_bind = no\nstaff_timeout = 1\ntwice_bind = no\n"
      "smtpd_client_restrictions = check_client_access {pgsql:acl, default_action=accept}\nacl_hosts = h\n"
      "transport_maps = inline:{a={ldap:not}}, !ldap:negated mysql:/etc/m.cf\nnot_bind = 1\nnegated_bind = 1\n"
      "mine = ldap:own\nown_bind = 1\nforward_path = ldap:fw\nfw_bind = 1\n",
      "s unix - - n - - smtp -o smtp_generic_maps=ldap:gen -o gen_bind=1 -o smtp_sasl_password_maps=ldap:/etc/l.cf\n");
  EXPECT_THAT(use.user_names,
              ElementsAre("acl_hosts", "dir", "gen_bind", "pm_user", "staff_timeout", "twice_bind", "uf_bind"));
  EXPECT_THAT(unused_names(use),
              ElementsAre("fw_bind", "mine", "negated_bind", "not_bind", "own_bind", "pm_bind", "uf_user"));
  EXPECT_THAT(use.table_files, ElementsAre(NamedTable{"ldap", "/etc/l.cf"}, NamedTable{"mysql", "/etc/m.cf"}));
}

TEST(NameCheck, TableFilesAreCheckedForNamesTheTypeDoesNotHave) {
  const std::string path = testing::TempDir() + "name_check_table.cf";
  ASSERT_TRUE(sys::replace_file(path, "user = a\nzap = 1\nzap = 2\nbind=no\n", 0600).has_value());
  const auto warnings = check_table_file({"mysql", path});
  ASSERT_TRUE(warnings.has_value());
  EXPECT_THAT(*warnings, ElementsAre("mysql:" + path + ": unused parameter: bind=no",
                                     "mysql:" + path + ": unused parameter: zap=2"));
  EXPECT_THAT(check_table_file({"ldap", "/nonexistent/x"}).value(),
              ElementsAre("open \"ldap\" configuration \"/nonexistent/x\": No such file or directory"));
  ASSERT_TRUE(sys::replace_file(path, "user = a\nbroken\n", 0600).has_value());
  EXPECT_FALSE(check_table_file({"mysql", path}).has_value());
  EXPECT_FALSE(check_table_file({"mysql", testing::TempDir()})->empty());
}

TEST(NameCheck, TablesNestedTooDeeplyAreLeftAlone) {
  std::string value;
  for (int i = 0; i < 100'000; ++i) { value += "unionmap:{"; }
  value += "ldap:x" + std::string(100'000, '}');
  EXPECT_THAT(named_tables(value), IsEmpty());
}

TEST(NameCheck, RawParametersDoNotReferToOthers) {
  EXPECT_THAT(unused_names(check("luser_relay = $user$c\nc = 3\n")), ElementsAre("c"));
}

TEST(NameCheck, UndefinedReferencesAreReportedOnce) {
  const NameUse use = check("myorigin = $x\nmydestination = $x $y\n");
  ASSERT_EQ(use.undefined.size(), 2U);
  EXPECT_EQ(use.undefined[0].name, "x");
  EXPECT_EQ(use.undefined[1].name, "y");
}

TEST(NameCheck, ServicesCreateNames) {
  const NameUse use = check("relay_destination_recipient_limit = 5\nother_destination_recipient_limit = 5\n",
                            "relay unix - - n - - smtp -o mua_x=1 -o smtp_bind_address=$mua_y -o mua_y=\n"
                            "pol unix - n n - 0 spawn user=nobody argv=/bin/true\ndis unix - - n - - discard\n");
  EXPECT_TRUE(use.service_names.contains("relay_destination_recipient_limit"));
  EXPECT_TRUE(use.service_names.contains("pol_time_limit"));
  EXPECT_FALSE(use.service_names.contains("pol_recipient_limit"));
  EXPECT_FALSE(use.service_names.contains("dis_recipient_limit"));
  EXPECT_FALSE(use.service_names.contains("relay_time_limit"));
  EXPECT_THAT(unused_names(use), ElementsAre("other_destination_recipient_limit", "mua_x"));
  EXPECT_THAT(use.undefined, IsEmpty());
}

}  // namespace
}  // namespace stagepost::config
