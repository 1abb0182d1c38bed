// What `postfix check` warns about, and that it is silent about what is right.
#include "commands/postfix/configuration_check.hpp"

#include <cstdlib>
#include <filesystem>
#include <utime.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::postfix {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ConfigurationCheck : public testing::Test {
 protected:
  ConfigurationCheck() {
    std::string pattern = testing::TempDir() + "configuration_checkXXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    for (const char* name : {"smtpd", "smtp"}) { write(name, "#!/bin/sh\n", 0755); }
  }
  ~ConfigurationCheck() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, std::string_view text, mode_t mode = 0644) const {
    const std::string path = directory_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    EXPECT_TRUE(sys::replace_file(path, std::string(text), mode).has_value());
    return path;
  }

  std::vector<std::string> warnings(const std::string& main_cf,
                                    const std::string& master_cf = "smtp inet n - n - - smtpd\n") const {
    const std::string text = "myhostname = h.example\nmynetworks = 127.0.0.1\ndaemon_directory = " + directory_ +
                             "\nqueue_directory = " + directory_ + "\nshlib_directory = " + directory_ +
                             "\nmeta_directory = " + directory_ + "\n" + main_cf;
    const auto config = config::Snapshot::from_text(text, "main.cf", {.check = config::LoadOptions::Check::no});
    const auto master = config::parse_master_cf(master_cf, "master.cf");
    EXPECT_TRUE(config && master);
    return configuration_warnings(**config, *master);
  }

  std::string directory_;
};

TEST_F(ConfigurationCheck, IsSilentAboutACorrectConfiguration) {
  const std::string table = write("transport", "a b\n");
  write("transport.lmdb", "");
  EXPECT_THAT(warnings("transport_maps = lmdb:" + table + ", pcre:" + write("p", "/a/ b\n") +
                           "\nvirtual_alias_maps = inline:{a=b}, static:{x y}, proxy:unix:passwd.byname\n"
                           "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n"
                           "mua = permit_sasl_authenticated, reject\ndefault_transport = smtp:[relay.example]\n"
                           "relayhost = [relay.example]:587\nsmtpd_tls_security_level = may\n"
                           "smtp_tls_session_cache_database = lmdb:/nonexistent/made_by_a_daemon\n",
                       "smtp inet n - n - - smtpd\nsubmission inet n - n - - smtpd -o smtpd_client_restrictions=$mua\n"
                       "smtp unix - - n - - smtp\n"),
              IsEmpty());
}

TEST_F(ConfigurationCheck, ListsEveryBadValueWithItsLine) {
  EXPECT_THAT(warnings("smtpd_timeout = 5x\nbiff = perhaps\n"),
              ElementsAre("main.cf, line 7: parameter smtpd_timeout: bad time value or unit: 5x",
                          "main.cf, line 8: bad boolean configuration: biff = perhaps"));
}

TEST_F(ConfigurationCheck, UnknownNamesHaveAPlaceAndASuggestion) {
  EXPECT_THAT(warnings("smtpd_baner = x\n", "smtp inet n - n - - smtpd\n  -o zz9=1\n"),
              ElementsAre("main.cf, line 7: unused parameter: smtpd_baner=x (did you mean smtpd_banner?)",
                          "master.cf, line 1: unused parameter: zz9=1"));
}

TEST_F(ConfigurationCheck, TablesThatAreMissingOrOutOfDate) {
  const std::string table = write("access", "a b\n");
  EXPECT_THAT(warnings("transport_maps = lmdb:" + table + "\n"),
              ElementsAre("main.cf, line 7: table lmdb:" + table +
                          " does not exist; make it with \"postmap lmdb:" + table + "\""));
  const std::string index = write("access.lmdb", "");
  const utimbuf old{.actime = 1, .modtime = 1};
  ASSERT_EQ(::utime(index.c_str(), &old), 0);
  EXPECT_THAT(warnings("", "smtp inet n - n - - smtpd -o smtpd_sender_login_maps=hash:" + table + "\n"),
              ElementsAre("master.cf, line 1: database " + index + " is older than source file " + table));
  EXPECT_THAT(warnings("header_checks = pcre:/nonexistent/x\nvirtual_alias_maps = hsh:/x\n"),
              ElementsAre(HasSubstr("line 7: table pcre:/nonexistent/x: "),
                          "main.cf, line 8: unsupported dictionary type: hsh (in virtual_alias_maps)"));
  // What looks like a table in a table's own text is none.
  EXPECT_THAT(warnings("transport_maps = pipemap:{inline:{ {host:25 = smtp:[x]:25}, {c = d:e} }, hsh:/y}\n"),
              ElementsAre("main.cf, line 7: unsupported dictionary type: hsh (in transport_maps)"));
}

TEST_F(ConfigurationCheck, CertificatesThatCannotBeUsed) {
  EXPECT_THAT(warnings("smtpd_tls_cert_file = /nonexistent/cert.pem\nsmtpd_tls_security_level = may\n"),
              ElementsAre(testing::AllOf(StartsWith("main.cf, line 7: "), HasSubstr("/nonexistent/cert.pem"))));
  EXPECT_THAT(warnings("smtp_tls_cert_file = " + write("bad.pem", "no certificate\n") + "\n"),
              ElementsAre(testing::AllOf(StartsWith("main.cf, line 7: "), HasSubstr("bad.pem"))));
}

TEST_F(ConfigurationCheck, ListsThatCannotRejectAreAnOpenRelay) {
  EXPECT_THAT(warnings("smtpd_relay_restrictions = permit_mynetworks, permit, reject\n"),
              ElementsAre(StartsWith("main.cf, line 7: open relay: in parameter smtpd_relay_restrictions")));
  EXPECT_THAT(warnings("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = check_policy_service inet:a:1\n"),
              ElementsAre(StartsWith("main.cf, line 7: open relay")));
  EXPECT_THAT(warnings("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = { defer_if_permit x }\n"),
              IsEmpty());
  EXPECT_THAT(warnings("smtpd_restriction_classes = cls, dull\ncls = permit_mynetworks, REJECT\ndull = warn_if_reject\n"
                       "smtpd_relay_restrictions = dull, cls\n"),
              IsEmpty());
  EXPECT_THAT(warnings("", "smtp inet n - n - - smtpd\n25 inet n - n - - smtpd -o smtpd_relay_restrictions=permit\n"),
              ElementsAre(StartsWith("master.cf, line 2: open relay")));
  EXPECT_THAT(warnings("mynetworks = 0.0.0.0/0\n"), Contains(HasSubstr("every address of the Internet")));
}

TEST_F(ConfigurationCheck, ClassesThatNameEachOtherEnd) {
  EXPECT_THAT(warnings("smtpd_restriction_classes = a, b\na = b\nb = a\nsmtpd_relay_restrictions = a\n"),
              ElementsAre(HasSubstr("open relay")));
}

TEST_F(ConfigurationCheck, ServicesWithoutAProgram) {
  EXPECT_THAT(warnings("", "smtp inet n - n - - smtpd\nx unix - - n - - nosuch\ny unix - - n - - nosuch\n"),
              ElementsAre("master.cf, line 2, 3: no program " + directory_ + "/nosuch"));
}

TEST_F(ConfigurationCheck, ProgramsOfPostfixAreMissedOnlyWhereTheyAreUsed) {
  const std::string services =
      "tlsmgr unix - - n 1000? 1 tlsmgr\nverify unix - - n - 1 verify\nproxymap unix - - n - - proxymap\n"
      "scache unix - - n - 1 scache\nmaildrop unix - n n - - pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop\n"
      "policy unix - n n - 0 spawn user=nobody argv=/bin/policy\n";
  EXPECT_THAT(warnings("", services), IsEmpty());
  EXPECT_THAT(warnings("mailbox_transport = maildrop\n", services),
              ElementsAre("master.cf, line 5: no program " + directory_ + "/pipe"));
  EXPECT_THAT(warnings("default_transport = maildropper\nrelayhost = [my.maildrop]\n", services), IsEmpty());
  EXPECT_THAT(
      warnings("smtpd_recipient_restrictions = reject_unverified_sender, check_policy_service unix:private/policy, "
               "reject\nvirtual_alias_maps = proxy:unix:passwd.byname\n",
               services),
      ElementsAre("master.cf, line 3: no program " + directory_ + "/proxymap",
                  "master.cf, line 6: no program " + directory_ + "/spawn",
                  "master.cf, line 2: no program " + directory_ + "/verify"));
  EXPECT_THAT(warnings("", "smtp inet n - n - 1 postscreen\n"),
              ElementsAre("master.cf, line 1: no program " + directory_ + "/postscreen"));
  EXPECT_THAT(warnings("", "x unix - - n - - smtpdd\n"),
              ElementsAre("master.cf, line 1: no program " + directory_ + "/smtpdd (did you mean smtpd?)"));
}

TEST_F(ConfigurationCheck, OldCopiesInTheJail) {
  write("etc/services", "# old\n");
  EXPECT_THAT(warnings("", "smtp inet n - y - - smtpd\n"),
              ElementsAre(directory_ + "/etc/services and /etc/services differ"));
  EXPECT_THAT(warnings("", "smtp inet n - n - - smtpd\n"), IsEmpty());
}

}  // namespace
}  // namespace stagepost::postfix
