// Edits of master.cf.
#include "config/master_cf_edit.hpp"

#include <gtest/gtest.h>

namespace stagepost::config {
namespace {

constexpr std::string_view kFile =
    "# top\nsmtp      inet  n       -       y       -       -       smtpd\n#smtpd pass - - y - - smtpd\n"
    "relay unix - - y - - smtp\n        -o syslog_name=postfix/$service_name\n#       -o x=5\n"
    "tlsmgr    unix  -       -       y       1000?   1       tlsmgr\n";

std::string edited(const ServiceEdit& edit) {
  const auto result = edit_master_cf(kFile, "master.cf", edit);
  EXPECT_TRUE(result.has_value()) << result.error().message();
  return result.value_or("");
}

TEST(EditMasterCf, ReplacesInPlace) {
  EXPECT_EQ(edited({.name = "relay", .type = "unix", .entry = "relay unix - - n - 5 smtp -v -o a=b -v"}),
            "# top\nsmtp      inet  n       -       y       -       -       smtpd\n#smtpd pass - - y - - smtpd\n"
            "relay      unix  -       -       n       -       5       smtp -v\n    -o a=b\n    -v\n#       -o x=5\n"
            "tlsmgr    unix  -       -       y       1000?   1       tlsmgr\n");
}

TEST(EditMasterCf, AppendsNewServices) {
  EXPECT_TRUE(edited({.name = "submission", .type = "inet", .entry = "submission inet n - y - - smtpd -o a=b"})
                  .ends_with("tlsmgr\nsubmission inet  n       -       y       -       -       smtpd\n    -o a=b\n"));
}

TEST(EditMasterCf, RemovesAndCommentsOut) {
  EXPECT_EQ(edited({.kind = ServiceEdit::Kind::remove, .name = "relay", .type = "*"}),
            "# top\nsmtp      inet  n       -       y       -       -       smtpd\n#smtpd pass - - y - - smtpd\n"
            "#       -o x=5\ntlsmgr    unix  -       -       y       1000?   1       tlsmgr\n");
  EXPECT_NE(edited({.kind = ServiceEdit::Kind::comment_out, .name = "relay", .type = "unix"})
                .find("#relay unix - - y - - smtp\n#        -o syslog_name=postfix/$service_name\n#       -o x=5\n"),
            std::string::npos);
  EXPECT_EQ(edited({.kind = ServiceEdit::Kind::remove, .name = "no", .type = "unix"}), kFile);
}

TEST(EditMasterCf, RefusesWhatDoesNotParse) {
  for (const char* entry :
       {"", "smtp inet n", "# x", "smtp foo n - y - - smtpd", "a inet n - y - - b\nc inet n - y - - d"}) {
    EXPECT_FALSE(edit_master_cf(kFile, "m", {.name = "smtp", .type = "inet", .entry = entry}).has_value()) << entry;
  }
}

TEST(FormatEntry, AlignsColumnsAndFolds) {
  const auto parsed = parse_master_cf(
      "scalemail-backend unix - n n - 2 pipe flags=R user=scalemail argv=/usr/lib/scalemail/bin/scalemail-store "
      "${nexthop} ${user} ${extension}\n127.0.0.1:submission inet n - y - - smtpd\n",
      "m");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(format_entry(parsed->services[0], Fold::yes),
            "scalemail-backend unix - n       n       -       2       pipe flags=R\n"
            "    user=scalemail argv=/usr/lib/scalemail/bin/scalemail-store ${nexthop}\n    ${user} ${extension}");
  EXPECT_EQ(format_entry(parsed->services[1], Fold::no),
            "127.0.0.1:submission inet n -    y       -       -       smtpd");
}

}  // namespace
}  // namespace stagepost::config
