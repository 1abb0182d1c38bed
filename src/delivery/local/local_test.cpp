#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "delivery/local/accounts.hpp"
#include "delivery/local/delivered_to.hpp"
#include "delivery/local/destination.hpp"
#include "delivery/local/destination_file.hpp"
#include "delivery/local/mailbox_failure.hpp"
#include "delivery/local/names.hpp"
#include "delivery/local/notify.hpp"
#include "delivery/local/settings.hpp"
#include "delivery/local/transports.hpp"
#include "log/log.hpp"

namespace stagepost::local {
namespace {

std::string show(const std::vector<Destination>& destinations) {
  constexpr const char* kNames[] = {"address", "command", "file", "include", "home"};
  std::string all;
  for (const Destination& destination : destinations) {
    all +=
        (all.empty() ? "" : " ; ") + std::string(kNames[static_cast<int>(destination.kind)]) + " " + destination.text;
  }
  return all;
}
std::string parsed(std::string_view value) { return show(parse_destinations(value)); }

TEST(Destinations, AddressesAreSeparatedByCommasAndWhiteSpace) {
  EXPECT_EQ(parsed("a@x.test, b ,c"), "address a@x.test ; address b ; address c");
  EXPECT_EQ(parsed(" a b\tc\n"), "address a ; address b ; address c");
  EXPECT_EQ(parsed(",,, "), "");
  EXPECT_EQ(parsed(""), "");
}

TEST(Destinations, TheFirstCharacterSaysWhatItIs) {
  EXPECT_EQ(parsed("/var/mail/x, /dir/"), "file /var/mail/x ; file /dir/");
  EXPECT_EQ(parsed("|cat, \"|cmd -a x\""), "command cat ; command cmd -a x");
  EXPECT_EQ(parsed("|\"/usr/bin/wrapper list\""), "command /usr/bin/wrapper list");
  EXPECT_EQ(parsed("|exit 3"), "command exit ; address 3");
  EXPECT_EQ(parsed("|id >/tmp/x"), "command id ; file /tmp/x");
  EXPECT_EQ(parsed(":include:/etc/list, \":Include:/a b\""), "include /etc/list ; include /a b");
  EXPECT_EQ(parsed("~/mbox"), "home ~/mbox");
  EXPECT_EQ(parsed("foo/bar"), "address foo/bar");
  EXPECT_EQ(parsed("\"/dir/with space\""), "file /dir/with space");
  // As Postfix: what is quoted is looked at without its quotes.
  EXPECT_EQ(parsed("\"/tmp/x\"@r.test"), "file /tmp/x@r.test");
  EXPECT_EQ(parsed("</tmp/x>"), "address /tmp/x");
  EXPECT_EQ(parsed("|"), "command ");
}

TEST(Destinations, AddressSyntaxOfRfc822) {
  EXPECT_EQ(parsed("Full Name <fn@x.test>, (comment) c@x.test"), "address fn@x.test ; address c@x.test");
  EXPECT_EQ(parsed("\"foo bar\"@x.test"), "address \"foo bar\"@x.test");
  EXPECT_EQ(parsed("\"a@b\""), "address \"a@b\"");
  EXPECT_EQ(parsed("\"a@b\"@c"), "address \"a@b\"@c");
  EXPECT_EQ(parsed("\\user"), "address user");
  EXPECT_EQ(parsed("a @ x.test, b@ x.test"), "address a@x.test ; address b@x.test");
  EXPECT_EQ(parsed("<@r1,@r2:z@x.test>"), "address @r1,@r2:z@x.test");
  EXPECT_EQ(parsed("friends: a@x.test, b@x.test; c"), "address a@x.test ; address b@x.test ; address c");
  EXPECT_EQ(parsed("u@[IPv6:::1]"), "address u@[IPv6:::1]");
  EXPECT_EQ(parsed("a(nested (comments))b"), "address ab");
  EXPECT_EQ(parsed("<>"), "");
}

TEST(Destinations, MalformedTextEndsSomewhere) {
  EXPECT_EQ(parsed("user@"), "address user@");
  EXPECT_EQ(parsed("\"unterminated"), "address unterminated");
  EXPECT_EQ(parsed("(open a"), "");
  EXPECT_EQ(parsed("a\\"), "address a");
  EXPECT_EQ(parsed("<a@x.test"), "address a@x.test");
  EXPECT_EQ(parsed(std::string(100'000, '(')), "");
}

TEST(DestinationLines, CommentsAreForLinesThatStartWithThem) {
  DestinationLines lines(100);
  EXPECT_EQ(show(lines.feed("# comment, x\na, b\n\n  # c\nlast")), "address a ; address b ; address # ; address c");
  EXPECT_EQ(show(lines.finish()), "address last");
}

TEST(DestinationLines, LongLinesAreBroken) {
  DestinationLines lines(4);
  EXPECT_EQ(show(lines.feed("abcdefgh\nxy\n")), "address abcd ; address efgh ; address xy");
  EXPECT_EQ(show(lines.feed("abcd\nef")), "address abcd");
  EXPECT_EQ(show(lines.finish()), "address ef");
}

const Names kNames{.user = "joe",
                   .home = "/home/joe",
                   .shell = "/bin/sh",
                   .local = "joe+ex",
                   .domain = "x.test",
                   .recipient = "joe+ex@x.test",
                   .extension = "ex",
                   .recipient_delimiter = "+"};

TEST(ExpandNames, ValuesAreFilteredAndTextIsNot) {
  EXPECT_EQ(expand_names("$home/.forward${recipient_delimiter}${extension}", kNames, "/.+ehjomx").value().text,
            "/home/joe/.forward+ex");
  EXPECT_EQ(expand_names("`$user`", {.user = "a`b;c"}, "abc").value().text, "`a_b_c`");
  EXPECT_EQ(expand_names("$user@other", {.user = "a`b"}, "").value().text, "a`b@other");
}

TEST(ExpandNames, TellsWhetherTheExtensionWasUsed) {
  EXPECT_TRUE(expand_names("$home/$extension", kNames, "").value().used_extension);
  EXPECT_FALSE(expand_names("$home/x", kNames, "").value().used_extension);
  EXPECT_FALSE(expand_names("$home/$extension", {.home = "/h"}, "").value().used_extension);
  EXPECT_EQ(expand_names("${extension?x}${extension:y}$nothing", {.home = "/h"}, "").value().text, "y");
  EXPECT_FALSE(expand_names("${home", kNames, ""));
}

TEST(CommandEnvironment, HasTheDocumentedNamesAndNoShellSyntax) {
  const CommandFacts facts{
      .names = kNames, .original_recipient = "o;x@x.test", .sender = "$(reboot)@x.test", .client_address = "192.0.2.1"};
  EXPECT_EQ(command_environment(facts, {"TZ=UTC", "PATH=/evil"}, "abcdefghijklmnopqrstuvwxyz.+@/0123456789"),
            (std::vector<std::string>{"PATH=/usr/bin:/bin", "TZ=UTC", "HOME=/home/joe", "SHELL=/bin/sh", "LOGNAME=joe",
                                      "USER=joe", "LOCAL=joe+ex", "DOMAIN=x.test", "EXTENSION=ex",
                                      "RECIPIENT=joe+ex@x.test", "ORIGINAL_RECIPIENT=o_x@x.test",
                                      "SENDER=__reboot_@x.test", "CLIENT_ADDRESS=192.0.2.1"}));
  const auto null_sender = command_environment({}, {}, "x");
  EXPECT_EQ(null_sender, (std::vector<std::string>{"PATH=/usr/bin:/bin", "SENDER="}));
}

TEST(ExportedEnvironment, TakesNamesAndAssignments) {
  const auto lookup = [](const char* name) -> const char* { return std::string_view(name) == "TZ" ? "UTC" : nullptr; };
  EXPECT_EQ(exported_environment({"TZ", "LANG", "FOO=bar", "{X=y z}", "{ Q=r }"}, lookup),
            (std::vector<std::string>{"TZ=UTC", "FOO=bar", "X=y z", "Q=r"}));
}

bool delivered_before(std::string_view address, const std::vector<std::string>& lines) {
  DeliveredToScan scan(address);
  for (const std::string& line : lines) {
    if (scan.feed(line, true) == DeliveredToScan::Progress::end_of_header) { break; }
  }
  return scan.found();
}

TEST(DeliveredTo, IsFoundInTheHeaderWhateverItsCase) {
  EXPECT_TRUE(delivered_before("joe@x.test", {"Subject: a", "delivered-to: JOE@x.TEST ", "", "b"}));
  EXPECT_TRUE(delivered_before("joe@x.test", {"Delivered-To:", "\tjoe@x.test"}));
  EXPECT_TRUE(delivered_before("a b@x.test", {"Delivered-To: \"a b\"@x.test"}));
  EXPECT_FALSE(delivered_before("joe@x.test", {"Delivered-To: joe@y.test", "X-Delivered-To: joe@x.test"}));
  EXPECT_FALSE(delivered_before("joe@x.test", {"Subject: a", "", "Delivered-To: joe@x.test"}));
  EXPECT_FALSE(delivered_before("joe@x.test", {"no header", "Delivered-To: joe@x.test"}));
}

TEST(DeliveredTo, PiecesOfALongLineAreOneLine) {
  DeliveredToScan scan("joe@x.test");
  EXPECT_EQ(scan.feed("Delivered-To: joe", false), DeliveredToScan::Progress::more);
  EXPECT_EQ(scan.feed("@x.test", true), DeliveredToScan::Progress::more);
  EXPECT_TRUE(scan.found());
  DeliveredToScan split("joe@x.test");
  EXPECT_EQ(split.feed("Subject: " + std::string(5000, 'x'), false), DeliveredToScan::Progress::more);
  EXPECT_EQ(split.feed("Delivered-To: joe@x.test", true), DeliveredToScan::Progress::more);
  EXPECT_FALSE(split.found());
}

TEST(Notify, SuccessIsReportedOnce) {
  EXPECT_EQ(notify_after_expansion(0), 0U);
  EXPECT_EQ(notify_after_expansion(queue::kNotifyNever), 0U + queue::kNotifyNever);
  EXPECT_EQ(notify_after_expansion(queue::kNotifySuccess), 0U + queue::kNotifyNever);
  EXPECT_EQ(notify_after_expansion(queue::kNotifySuccess | queue::kNotifyDelay), 0U + queue::kNotifyDelay);
}

TEST(Transport, NexthopAfterTheColon) {
  EXPECT_EQ(parse_transport("lmtp:unix:/run/x", "me").value(), (TransportChoice{"lmtp", "unix:/run/x"}));
  EXPECT_EQ(parse_transport("cyrus", "me").value(), (TransportChoice{"cyrus", "me"}));
  EXPECT_EQ(parse_transport("cyrus:", "me").value(), (TransportChoice{"cyrus", "me"}));
  for (const char* bad : {"", ":", "../x", "a/b", ".x:y", "a b:c"}) { EXPECT_FALSE(parse_transport(bad, "me")) << bad; }
}

TEST(MailboxFailure, FullAndImpossibleBounceTheRestIsTriedAgain) {
  const auto outcome = [](std::errc code) {
    const auto failure = mailbox_failure({std::make_error_code(code), "x"});
    return failure.status.code + (failure.kind == delivery::Kind::bounced ? " bounced" : " deferred");
  };
  EXPECT_EQ(outcome(std::errc::file_too_large), "5.2.2 bounced");
  EXPECT_EQ(outcome(std::errc::no_space_on_device), "4.2.2 deferred");
  EXPECT_EQ(outcome(std::errc::is_a_directory), "5.2.0 bounced");
  EXPECT_EQ(outcome(std::errc::permission_denied), "5.2.0 bounced");
  EXPECT_EQ(outcome(std::errc::operation_not_permitted), "4.2.0 deferred");
  EXPECT_EQ(outcome(std::errc::io_error), "4.2.0 deferred");
  EXPECT_EQ(outcome(std::errc::resource_unavailable_try_again), "4.2.0 deferred");
}

TEST(Sources, UnknownWordsAreAnError) {
  EXPECT_EQ(parse_sources("p", "alias, forward").value(), (std::set{Source::alias, Source::forward}));
  EXPECT_TRUE(parse_sources("p", "").value().empty());
  EXPECT_FALSE(parse_sources("p", "alias other"));
}

TEST(Accounts, NoAccountIsNoError) {
  const auto root = find_account("root");
  ASSERT_TRUE(root && *root);
  EXPECT_EQ((*root)->identity.uid, 0U);
  const auto nobody = find_account("no-such-user-here");
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);
  EXPECT_FALSE(*find_account(std::string("root\0x", 6)));
  EXPECT_EQ((*find_account(uid_t{0}))->name, "root");
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sp_local_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    ::chmod(name, 0755);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string file(const std::string& text, mode_t mode) {
    const std::string path = directory_ + "/f";
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  static std::string read(const std::string& path, DestinationFileLimits limits = {}) {
    const auto found = read_destination_file(path, {}, limits);
    return found ? show(found->destinations) : "error: " + found.error().context;
  }
  std::string directory_;
};

TEST_F(Files, OnlyRegularFilesThatNotEverybodyWritesAreRead) {
  EXPECT_EQ(read(file("a\nb", 0600)), "address a ; address b");
  EXPECT_EQ(read(file("a", 0602)), "error: file " + directory_ + "/f is world writable");
  EXPECT_EQ(read(directory_), "error: file " + directory_ + " is not a regular file");
  EXPECT_EQ(read(file("aaaa", 0600), {.file_octets = 3}), "error: file " + directory_ + "/f");
  EXPECT_EQ(read(file("aaa", 0600), {.file_octets = 3}), "address aaa");
}

TEST_F(Files, TableOwnerIsThatOfTheIndexedFile) {
  std::ofstream(directory_ + "/aliases.lmdb").close();
  EXPECT_EQ(table_owner("lmdb:" + directory_ + "/aliases").value(), ::getuid());
  EXPECT_EQ(table_owner("proxy:lmdb:" + directory_ + "/aliases").value(), ::getuid());
  EXPECT_EQ(table_owner("inline:{a=b}").value(), 0U);
  EXPECT_FALSE(table_owner("lmdb:" + directory_ + "/none"));
}

}  // namespace
}  // namespace stagepost::local
