// Snapshot: layers of values, types, expansion across parameters, limits.
#include "config/snapshot.hpp"

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "config/log_settings.hpp"

namespace stagepost::config {
namespace {

using std::chrono::seconds;

SnapshotPtr snapshot(std::string_view main_cf, LoadOptions options = {}) {
  auto result = Snapshot::from_text(main_cf, "main.cf", options);
  EXPECT_TRUE(result.has_value()) << result.error().message();
  return result.value_or(nullptr);
}

std::string error_of(std::string_view main_cf, LoadOptions options = {}) {
  const auto result = Snapshot::from_text(main_cf, "main.cf", options);
  EXPECT_FALSE(result.has_value()) << main_cf;
  return result ? "" : result.error().context;
}

TEST(Snapshot, DefaultsHaveTheirTypes) {
  const SnapshotPtr config = snapshot("");
  EXPECT_EQ(config->integer("message_size_limit"), 10240000);
  EXPECT_EQ(config->seconds("bounce_queue_lifetime"), seconds(5 * 86400));
  EXPECT_EQ(config->seconds("smtpd_timeout"), seconds(300));
  EXPECT_TRUE(config->boolean("append_at_myorigin"));
  EXPECT_TRUE(config->boolean("append_dot_mydomain"));
  EXPECT_FALSE(config->boolean("smtputf8_enable"));
  EXPECT_EQ(config->text("syslog_name"), "postfix");
  EXPECT_EQ(config->text("milter_macro_v"), "Postfix 3.7.11");
  EXPECT_FALSE(config->is_set("message_size_limit"));
  EXPECT_TRUE(config->warnings().empty());
}

TEST(Snapshot, FileOverDefaultAndOverrideOverFile) {
  const SnapshotPtr config =
      snapshot("myhostname = a.example\nsmtpd_banner = $myhostname x\nsmtpd_timeout = 5m\nsmtpd_timeout = 6m\n",
               {.overrides = {{"myhostname", "b.example"}, {"biff", "no"}, {"biff", "yes"}}});
  EXPECT_EQ(config->text("smtpd_banner"), "b.example x");
  EXPECT_EQ(config->raw("smtpd_banner"), "$myhostname x");
  EXPECT_EQ(config->seconds("smtpd_timeout"), seconds(360));
  EXPECT_TRUE(config->boolean("biff"));
  EXPECT_EQ(config->warnings(),
            std::vector<std::string>{"main.cf, line 4: overriding earlier entry: smtpd_timeout=5m"});
  EXPECT_EQ(config->names_set(), (std::vector<std::string>{"myhostname", "smtpd_banner", "smtpd_timeout"}));
}

TEST(Snapshot, CompatibilityLevelChangesDefaults) {
  const SnapshotPtr config = snapshot("compatibility_level = 3.6\n");
  EXPECT_FALSE(config->boolean("append_dot_mydomain"));
  EXPECT_EQ(config->text("mynetworks_style"), "host");
  EXPECT_EQ(config->text("relay_domains"), "");
  EXPECT_EQ(config->text("smtpd_relay_restrictions"),
            "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination");
}

TEST(Snapshot, StressIsASwitch) {
  const SnapshotPtr calm = snapshot("");
  EXPECT_EQ(calm->integer("smtpd_hard_error_limit"), 20);
  const auto stressed = calm->with({}, true);
  ASSERT_TRUE(stressed.has_value());
  EXPECT_EQ((*stressed)->integer("smtpd_hard_error_limit"), 1);
  EXPECT_EQ((*stressed)->seconds("smtpd_timeout"), seconds(10));
  EXPECT_EQ(snapshot("stress =\n", {.stress = true})->integer("smtpd_hard_error_limit"), 20);
}

TEST(Snapshot, ContextIsReadOnly) {
  const SnapshotPtr config = snapshot("process_name = x\nservice_name = y\nsyslog_name = postfix/$service_name\n",
                                      {.process_name = "smtpd", .service_name = "submission"});
  EXPECT_EQ(config->text("process_name"), "smtpd");
  EXPECT_EQ(config->text("syslog_name"), "postfix/submission");
  EXPECT_EQ(config->warnings().size(), 2U);
}

TEST(Snapshot, HostNameAndDomain) {
  EXPECT_EQ(snapshot("myhostname = a.example.com\n")->text("mydomain"), "example.com");
  EXPECT_EQ(snapshot("myhostname = single\n")->text("mydomain"), "localdomain");
  const SnapshotPtr config = snapshot("mydomain = example.org\n");
  EXPECT_NE(config->text("myhostname").find('.'), std::string::npos);
  EXPECT_EQ(snapshot("myhostname=a.b.c\n")->text("mydestination"), "a.b.c, localhost.b.c, localhost");
}

TEST(Snapshot, OwnNetworksFollowInterfaces) {
  EXPECT_EQ(snapshot("inet_interfaces = 127.0.0.1\n")->text("mynetworks"), "127.0.0.0/8");
  EXPECT_EQ(snapshot("inet_interfaces = 127.0.0.1\nmynetworks_style = host\n")->text("mynetworks"), "127.0.0.1/32");
  EXPECT_EQ(snapshot("mynetworks = 192.0.2.0/24\nmynetworks_style = bogus\n")->text("mynetworks"), "192.0.2.0/24");
  EXPECT_NE(error_of("mynetworks_style = bogus\n").find("bogus"), std::string::npos);
  EXPECT_NE(error_of("inet_protocols = bogus\n").find("bogus"), std::string::npos);
}

TEST(Snapshot, PerTransportValues) {
  const SnapshotPtr config = snapshot(
      "relay_destination_concurrency_limit = 3\ndefault_destination_concurrency_limit = 7\nx_transport_rate_delay = "
      "2m\n");
  EXPECT_EQ(config->integer("relay", "_destination_concurrency_limit"), 3);
  EXPECT_EQ(config->integer("smtp", "_destination_concurrency_limit"), 7);
  EXPECT_EQ(config->integer("local", "_destination_concurrency_limit"), 2);
  EXPECT_EQ(config->integer("local", "_destination_recipient_limit"), 1);
  EXPECT_EQ(config->seconds("x", "_transport_rate_delay"), seconds(120));
  EXPECT_EQ(config->seconds("y", "_transport_rate_delay"), seconds(0));
  EXPECT_EQ(config->text("y", "_destination_concurrency_positive_feedback"), "1");
  EXPECT_NE(error_of("relay_destination_concurrency_limit = many\n").find("line 1"), std::string::npos);
}

TEST(Snapshot, UserDefinedNames) {
  const SnapshotPtr config = snapshot("mua = $mynetworks_x, reject\nmynetworks_x = 1.2.3.4\n");
  EXPECT_EQ(config->find_text("mua"), "1.2.3.4, reject");
  EXPECT_EQ(config->find_text("nope"), std::nullopt);
  EXPECT_EQ(config->list("mua"), (std::vector<std::string>{"1.2.3.4", "reject"}));
  EXPECT_EQ(config->expand_text("<$mua> ${nope:none}"), "<1.2.3.4, reject> none");
}

TEST(Snapshot, RawParametersStayAsWritten) {
  const SnapshotPtr config = snapshot("luser_relay = $user@other.example\n");
  EXPECT_EQ(config->text("luser_relay"), "$user@other.example");
  EXPECT_EQ(config->text("forward_path"), "$home/.forward${recipient_delimiter}${extension}, $home/.forward");
}

TEST(Snapshot, BadValuesNameFileAndLine) {
  EXPECT_EQ(error_of("\nbiff = maybe\n"), "main.cf, line 2: bad boolean configuration: biff = maybe");
  EXPECT_EQ(error_of("message_size_limit = abc\n"),
            "main.cf, line 1: bad numerical configuration: message_size_limit = abc");
  EXPECT_EQ(error_of("smtp_helo_timeout = 5x\n"),
            "main.cf, line 1: parameter smtp_helo_timeout: bad time value or unit: 5x");
  EXPECT_EQ(error_of("hopcount_limit = 0\n"), "main.cf, line 1: invalid hopcount_limit parameter value 0 < 1");
  EXPECT_EQ(error_of("hopcount_limit = 2147483648\n"),
            "main.cf, line 1: invalid hopcount_limit parameter value 2147483648 > 2147483647");
  EXPECT_EQ(error_of("queue_directory =\n"), "main.cf, line 1: queue_directory must not be empty");
  EXPECT_EQ(error_of("", {.overrides = {{"biff", "2"}}}), "-o biff: bad boolean configuration: biff = 2");
  EXPECT_EQ(snapshot("message_size_limit = 9000000000\n")->integer("message_size_limit"), 9000000000);
  EXPECT_EQ(snapshot("biff = YES\n")->boolean("biff"), true);
}

TEST(Snapshot, SelfReferenceIsAnError) {
  EXPECT_NE(error_of("myhostname = $mydomain\nmydomain = $myhostname\n").find("refers to itself"), std::string::npos);
  EXPECT_NE(error_of("a = $a\n").find("refers to itself"), std::string::npos);
}

TEST(Snapshot, GrowthByReferenceIsBounded) {
  std::string file = "a0 = xxxxxxxxxx\n";
  for (int i = 1; i < 60; ++i) {
    file += "a" + std::to_string(i) + " = $a" + std::to_string(i - 1) + "$a" + std::to_string(i - 1) + "\n";
  }
  EXPECT_FALSE(error_of(file).empty());
}

TEST(Snapshot, WithoutChecksABrokenFileStillLoads) {
  const SnapshotPtr config = snapshot("biff = maybe\na = $a\n", {.check = LoadOptions::Check::no});
  EXPECT_EQ(config->text("biff"), "maybe");
  EXPECT_EQ(config->raw("a"), "$a");
  EXPECT_EQ(config->find_text("a"), std::nullopt);
  EXPECT_FALSE(config->expand_text("$a").has_value());
  EXPECT_EQ(config->expand_text("$biff"), "maybe");
}

TEST(Snapshot, ConfigDirectoryCannotBeSetInTheFile) {
  const SnapshotPtr config = snapshot("config_directory = /elsewhere\n", {.config_directory = "/etc/test"});
  EXPECT_EQ(config->text("config_directory"), "/etc/test");
  EXPECT_EQ(config->config_directory(), "/etc/test");
}

TEST(Snapshot, MissingFileIsAnError) {
  const auto result = Snapshot::load({.config_directory = "/nonexistent"});
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(result.error().is(std::errc::no_such_file_or_directory));
}

TEST(SnapshotDeathTest, AnUnknownNameIsAProgrammingError) {
  const SnapshotPtr config = snapshot("");
  EXPECT_DEATH(static_cast<void>(config->text("no_such_parameter")), "");
  EXPECT_DEATH(static_cast<void>(config->integer("biff")), "");
}

TEST(SplitList, KeepsBracedPieces) {
  using List = std::vector<std::string>;
  EXPECT_EQ(split_list(" a, b\t c,,"), (List{"a", "b", "c"}));
  EXPECT_EQ(split_list("inline:{a=b, c=d} {x y}z, e"), (List{"inline:{a=b, c=d}", "{x y}z", "e"}));
  EXPECT_EQ(split_list("{a b"), List{"{a b"});
  EXPECT_EQ(split_list("} a"), (List{"}", "a"}));
  EXPECT_EQ(split_list(""), List{});
}

TEST(Snapshot, MyoriginMayNameAFile) {
  const std::string path = ::testing::TempDir() + "stagepost_mailname";
  const auto with_content = [&](std::string_view content) {
    EXPECT_TRUE(sys::replace_file(path, content, 0600));
    return "myorigin = " + path + "\nsmtpd_banner = $myorigin\n";
  };
  const SnapshotPtr config = snapshot(with_content(" name.example \nsecond.example\n"));
  EXPECT_EQ(config->text("myorigin"), "name.example");
  EXPECT_EQ(config->raw("myorigin"), path);
  EXPECT_EQ(config->text("smtpd_banner"), path);
  EXPECT_EQ(snapshot(with_content("no.newline"))->text("myorigin"), "no.newline");
  // postconf shows what main.cf says.
  const std::string text = with_content("name.example\n");
  EXPECT_EQ(snapshot(text, {.check = LoadOptions::Check::no})->text("myorigin"), path);
}

TEST(Snapshot, ABadOriginIsAnError) {
  const std::string path = ::testing::TempDir() + "stagepost_mailname";
  const auto error_with = [&](std::string_view content) {
    EXPECT_TRUE(sys::replace_file(path, content, 0600));
    return error_of("myorigin = " + path + "\n");
  };
  EXPECT_EQ(error_with(""), "myorigin file " + path + " is empty");
  EXPECT_EQ(error_with("\nname.example\n"), "myorigin file " + path + " is empty");
  EXPECT_EQ(error_with("a b\n"), "myorigin parameter setting must not contain multiple values: a b");
  EXPECT_NE(error_with(std::string(5000, 'x')), "");
  EXPECT_EQ(error_of("myorigin = a.example b.example\n"),
            "myorigin parameter setting must not contain multiple values: a.example b.example");
  EXPECT_EQ(error_of("myorigin = /nonexistent/mailname\n"),
            "/nonexistent/mailname: cannot open file: No such file or directory");
}

TEST(LogSettings, OnlyBelowAnAllowedPrefix) {
  EXPECT_TRUE(log_file_allowed("/var/log/mail", {"/var", "/dev/stdout"}));
  EXPECT_TRUE(log_file_allowed("/dev/stdout", {"/var", "/dev/stdout"}));
  EXPECT_FALSE(log_file_allowed("/variety/log", {"/var", "/dev/stdout"}));
  EXPECT_FALSE(log_file_allowed("/etc/passwd", {"/var", "/dev/stdout"}));
  EXPECT_FALSE(log_file_allowed("/var/../etc/passwd", {"/var"}));
}

TEST(Snapshot, BadValuesOfOtherProgramsDoNotStopThisOne) {
  constexpr std::string_view kText =
      "myhostname = a.b\nsmtpd_timeout = 5x\nqueue_run_delay = 5m\nsmtp_bind_address = $$\n";
  const auto mine = Snapshot::from_text(kText, "main.cf", {.process_name = "smtpd"});
  ASSERT_FALSE(mine.has_value());
  EXPECT_EQ(mine.error().message(), "main.cf, line 2: parameter smtpd_timeout: bad time value or unit: 5x");
  const auto other = Snapshot::from_text(kText, "main.cf", {.process_name = "qmgr"});
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ((*other)->seconds("smtpd_timeout"), std::chrono::seconds(300));
  EXPECT_EQ((*other)->problems(),
            std::vector<std::string>{"main.cf, line 2: parameter smtpd_timeout: bad time value or unit: 5x"});
  // Without a name, or for a parameter of everybody, it is an error.
  EXPECT_FALSE(Snapshot::from_text(kText, "main.cf", {}).has_value());
  EXPECT_FALSE(Snapshot::from_text("queue_run_delay = x\n", "main.cf", {.process_name = "smtpd"}).has_value());
}

TEST(Snapshot, AllProblemsAreListedInFileOrder) {
  const auto config = Snapshot::from_text(
      "smtpd_timeout = 5x\nbiff = perhaps\nmyorigin = $myorigin\nline_length_limit = 5\nhash_queue_depth = 2x\n",
      "main.cf", {.check = LoadOptions::Check::no});
  ASSERT_TRUE(config.has_value());
  const std::vector<std::string>& problems = (*config)->problems();
  ASSERT_EQ(problems.size(), 5U);
  EXPECT_EQ(problems[0], "main.cf, line 1: parameter smtpd_timeout: bad time value or unit: 5x");
  EXPECT_EQ(problems[1], "main.cf, line 2: bad boolean configuration: biff = perhaps");
  EXPECT_EQ(problems[2], "main.cf, line 3: myorigin refers to itself or is nested too deeply");
  EXPECT_EQ(problems[3], "main.cf, line 4: invalid line_length_limit parameter value 5 < 512");
  EXPECT_EQ(problems[4], "main.cf, line 5: bad numerical configuration: hash_queue_depth = 2x");
}

TEST(Snapshot, SelfReferenceEndsWithAnErrorHoweverItIsHidden) {
  for (const char* text : {"a = ${b?{$c}}\nb = x\nc = ${a:y}\n", "a = ${{$a} == {x} ? {1} : {2}}\n", "a = $(a)\n"}) {
    const auto config = Snapshot::from_text(text, "main.cf", {.check = LoadOptions::Check::no});
    ASSERT_TRUE(config.has_value());
    EXPECT_FALSE((*config)->expand_text("$a").has_value()) << text;
    EXPECT_FALSE((*config)->problems().empty()) << text;
  }
  std::string chain;
  for (int i = 0; i < 1000; ++i) { chain += "p" + std::to_string(i) + " = $p" + std::to_string(i + 1) + "\n"; }
  const auto deep = Snapshot::from_text(chain, "main.cf", {.check = LoadOptions::Check::no});
  ASSERT_TRUE(deep.has_value());
  EXPECT_FALSE((*deep)->problems().empty());
}

TEST(Snapshot, ADefaultOutOfRangeConcernsOnlyTheProgramThatUsesIt) {
  // postscreen_pre_queue_limit = $default_process_limit, at least 10.
  const std::string text = "compatibility_level = 3.6\ndefault_process_limit = 7\n";
  const auto other = Snapshot::from_text(text, "main.cf", {.process_name = "smtp"});
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_TRUE((*other)->problems().empty());
  const auto postscreen = Snapshot::from_text(text, "main.cf", {.process_name = "postscreen"});
  ASSERT_FALSE(postscreen);
  EXPECT_EQ(
      postscreen.error().message(),
      "main.cf: default of postscreen_pre_queue_limit: invalid postscreen_pre_queue_limit parameter value 7 < 10");
}

}  // namespace
}  // namespace stagepost::config
