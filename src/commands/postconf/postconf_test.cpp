// postconf on small configurations of its own; tests/differential compares it with an installed Postfix.
#include "commands/postconf/postconf.hpp"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "commands/postconf/display.hpp"

namespace stagepost::postconf {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class Postconf : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "stagepost-postconf-XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    write("master.cf",
          "smtp inet n - y - - smtpd\nrelay unix - - y - - smtp\n  -o syslog_name=postfix/$service_name\n");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, std::string_view content) {
    ASSERT_TRUE(sys::replace_file(directory_ + "/" + name, content, 0644).has_value());
  }
  std::string read(const std::string& name) { return sys::read_file(directory_ + "/" + name, 100000).value_or("?"); }

  Result<Output> run_in(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"-c", directory_});
    return run(arguments);
  }
  std::string text(std::vector<std::string> arguments) {
    const auto output = run_in(std::move(arguments));
    EXPECT_TRUE(output.has_value()) << output.error().message();
    return output ? output->text : "";
  }
  std::string error(std::vector<std::string> arguments) {
    const auto output = run_in(std::move(arguments));
    EXPECT_FALSE(output.has_value());
    return output ? "" : output.error().message();
  }

  std::string directory_;
};

TEST_F(Postconf, MistypedNamesGetASuggestion) {
  write("main.cf", "");
  EXPECT_THAT(run_in({"smtpd_baner"}).value().warnings,
              testing::ElementsAre("smtpd_baner: unknown parameter (did you mean smtpd_banner?)"));
  EXPECT_EQ(error({"-F", "smtp/inet/chrot"}), "invalid service attribute name: \"chrot\" (did you mean chroot?)");
  EXPECT_THAT(run_in({"-T", "run-versoin"}).value().warnings,
              testing::ElementsAre("unknown 'postconf -T' mode: run-versoin (did you mean run-version?)"));
}

TEST_F(Postconf, ServicesShowWhatTheyInheritOnRequest) {
  write("main.cf", "syslog_name = postfix/other\nsmtp_helo_timeout = 7s\nmyorigin = $mydomain\nmydomain = d.example\n");
  EXPECT_EQ(text({"-P", "relay/unix/smtp_helo_timeout"}), "");
  EXPECT_EQ(text({"-PP", "relay/unix/smtp_helo_timeout"}), "relay/unix/smtp_helo_timeout = 7s\n");
  EXPECT_EQ(text({"-PP", "*/*/syslog_name"}),
            "smtp/inet/syslog_name = postfix/other\nrelay/unix/syslog_name = postfix/$service_name\n");
  EXPECT_EQ(text({"-PPx", "relay/unix/myorigin", "relay/unix/syslog_name"}),
            "relay/unix/myorigin = d.example\nrelay/unix/syslog_name = postfix/relay\n");
  EXPECT_EQ(text({"-PP", "relay/unix/smtp_host_lookup"}), "relay/unix/smtp_host_lookup = dns\n");
  EXPECT_THAT(text({"-PPx", "relay"}), HasSubstr("relay/unix/default_rbl_reply = $rbl_code "));
  EXPECT_EQ(run_in({"-PP", "relay/unix/nosuch"}).value().warnings.size(), 1U);
}

TEST_F(Postconf, ShowsWhatIsSetWithCollapsedSpace) {
  write("main.cf",
        "mynetworks = 127.0.0.1,\n   10.0.0.0/8   ,\nrelay_domains=\nb = $mail_name\nmyorigin = $b\nzz = 1\n");
  EXPECT_EQ(text({"-n"}), "b = $mail_name\nconfig_directory = " + directory_ +
                              "\nmynetworks = 127.0.0.1, 10.0.0.0/8 ,\nmyorigin = $b\nrelay_domains =\n");
  EXPECT_EQ(text({"-nx", "myorigin"}), "myorigin = Postfix\n");
  EXPECT_EQ(text({"-h", "myorigin", "mail_name"}), "$b\nPostfix\n");
  EXPECT_EQ(text({"-H", "myorigin"}), "myorigin\n");
  EXPECT_EQ(text({"-C", "user"}), "b = $mail_name\n");
  EXPECT_EQ(text({"-x", "-o", "mail_name=Q", "myorigin"}), "myorigin = Q\n");
  EXPECT_THAT(run_in({"-n"})->warnings, testing::Contains(directory_ + "/main.cf: unused parameter: zz=1"));
}

TEST_F(Postconf, UnknownNamesAreWarnings) {
  write("main.cf", "");
  const auto output = run_in({"nosuch", "mail_name"});
  ASSERT_TRUE(output.has_value());
  EXPECT_EQ(output->text, "mail_name = Postfix\n");
  EXPECT_THAT(output->warnings, testing::ElementsAre("nosuch: unknown parameter"));
}

TEST_F(Postconf, DefaultsNeedNoFileAndIgnoreIt) {
  EXPECT_THAT(text({"-d"}), HasSubstr("\nmessage_size_limit = 10240000\n"));
  EXPECT_THAT(text({"-d"}), HasSubstr("\nrelay_recipient_limit = $default_recipient_limit\n"));
  EXPECT_THAT(error({"-n"}), HasSubstr("No such file"));
  write("main.cf", "message_size_limit = 1\n");
  EXPECT_EQ(text({"-d", "message_size_limit"}), "message_size_limit = 10240000\n");
}

TEST_F(Postconf, BrokenExpansionIsFatalOnlyWhenAskedFor) {
  write("main.cf", "myorigin = ${\n");
  EXPECT_EQ(text({"myorigin"}), "myorigin = ${\n");
  EXPECT_THAT(error({"-x", "myorigin"}), HasSubstr("missing"));
  EXPECT_EQ(text({"-x", "mail_name"}), "mail_name = Postfix\n");
}

TEST_F(Postconf, EditsMainCf) {
  write("main.cf", "# c\nmyorigin = a\nrelayhost = b\nmyhostname = h\n");
  EXPECT_EQ(text({"myorigin=x y", "mydomain = d"}), "");
  EXPECT_EQ(read("main.cf"), "# c\nmyorigin = x y\nrelayhost = b\nmyhostname = h\nmydomain = d\n");
  EXPECT_EQ(text({"-X", "relayhost"}), "");
  EXPECT_EQ(text({"-#", "myhostname"}), "");
  EXPECT_EQ(read("main.cf"), "# c\nmyorigin = x y\n#myhostname = h\nmydomain = d\n");
}

TEST_F(Postconf, RefusesContradictions) {
  write("main.cf", "");
  EXPECT_THAT(error({"-n", "-d"}), HasSubstr("specify one of -d -n"));
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{{"-h", "-H"},
                                                                                         {"-e"},
                                                                                         {"-X"},
                                                                                         {"-e", "z"},
                                                                                         {"-e", "=z"},
                                                                                         {"a b=z"},
                                                                                         {"a=b\nc"},
                                                                                         {"-n", "a=b"},
                                                                                         {"-C", "bogus"},
                                                                                         {"-Z"},
                                                                                         {"-X", "a=b"},
                                                                                         {"-M", "-d"},
                                                                                         {"-o"},
                                                                                         {"-d", "-o", "a=b"},
                                                                                         {"-F", "*/*/foo"}}) {
    EXPECT_FALSE(run_in(arguments).has_value()) << arguments[0];
  }
  EXPECT_EQ(read("main.cf"), "");
}

TEST_F(Postconf, ShowsMasterCf) {
  write("main.cf", "");
  EXPECT_EQ(text({"-M", "relay"}),
            "relay      unix  -       -       y       -       -       smtp -o syslog_name=postfix/$service_name\n");
  EXPECT_EQ(text({"-Mx", "relay/unix"}),
            "relay      unix  -       -       y       -       -       smtp -o syslog_name=postfix/relay\n");
  EXPECT_EQ(
      text({"-Mf", "*/unix"}),
      "relay      unix  -       -       y       -       -       smtp\n    -o syslog_name=postfix/$service_name\n");
  EXPECT_EQ(text({"-F", "smtp/inet/chroot"}), "smtp/inet/chroot = y\n");
  EXPECT_EQ(text({"-P"}), "relay/unix/syslog_name = postfix/$service_name\n");
  EXPECT_THAT(run_in({"-M", "nosuch"})->warnings, testing::ElementsAre("unmatched request: \"nosuch\""));
}

TEST_F(Postconf, EditsMasterCf) {
  write("main.cf", "");
  EXPECT_EQ(text({"-F", "*/*/chroot=n"}), "");
  EXPECT_EQ(text({"-P", "smtp/inet/content_filter=x:y"}), "");
  EXPECT_EQ(text({"-PX", "relay/unix/syslog_name"}), "");
  EXPECT_EQ(text({"-M", "new/unix=new unix - - n - 1 pipe flags=F"}), "");
  EXPECT_EQ(read("master.cf"),
            "smtp       inet  n       -       n       -       -       smtpd\n    -o content_filter=x:y\n"
            "relay      unix  -       -       n       -       -       smtp\n"
            "new        unix  -       -       n       -       1       pipe flags=F\n");
  EXPECT_EQ(text({"-MX", "smtp/inet"}), "");
  EXPECT_EQ(text({"-M#", "relay/unix"}), "");
  EXPECT_EQ(read("master.cf"),
            "#relay      unix  -       -       n       -       -       smtp\n"
            "new        unix  -       -       n       -       1       pipe flags=F\n");
}

TEST(FormatSetting, FoldsBeforeColumn80) {
  const std::string word(38, 'x');
  EXPECT_EQ(format_setting("a", word + "  " + word.substr(0, 37), {.fold = true}),
            "a = " + word + " " + word.substr(0, 37) + "\n");
  EXPECT_EQ(format_setting("a", word + " " + word, {.fold = true}), "a = " + word + "\n    " + word + "\n");
}

}  // namespace
}  // namespace stagepost::postconf
