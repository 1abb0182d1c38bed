#include <gtest/gtest.h>

#include "delivery/virtual/deliver.hpp"
#include "log/log.hpp"
#include "maps/context.hpp"

namespace stagepost::virtual_agent {
namespace {

std::string show(const std::expected<Mailbox, delivery::Outcome>& found) {
  if (!found) { return found.error().status.code + " " + found.error().status.text; }
  return found->path + (found->maildir ? " maildir " : " mbox ") + std::to_string(found->identity.uid) + "/" +
         std::to_string(found->identity.gid);
}

class Lookup : public testing::Test {
 protected:
  void SetUp() override {
    log::capture([](log::Level, std::string_view) {});
    const auto config = config::Snapshot::from_text(
        "virtual_mailbox_base = /var/vmail\n"
        "recipient_delimiter = +\n"
        "virtual_mailbox_maps = inline:{a@x.test=x/a/, b@x.test=b, @all.test=all/, evil@x.test=../etc, "
        "low@x.test=low/}\n"
        "virtual_uid_maps = inline:{low@x.test=50, a@x.test=1000, b@x.test=1000, @all.test=2000, evil@x.test=1000}\n"
        "virtual_gid_maps = static:1234\n",
        "main.cf", {});
    ASSERT_TRUE(config);
    config_ = *config;
  }
  void TearDown() override { log::capture({}); }
  std::string find(const std::string& address) {
    auto lookup = MailboxLookup::create(*config_, maps::make_context(config_, nullptr));
    std::string shown;
    net::EventLoop loop;
    loop.run_task([](const MailboxLookup& l, std::string a, std::string& out) -> net::Task<> {
      const auto found = co_await l.find(a);
      out = show(found);
    }(*lookup, address, shown));
    return shown;
  }
  config::SnapshotPtr config_;
};

TEST_F(Lookup, MaildirMboxExtensionAndCatchAll) {
  EXPECT_EQ(find("a@x.test"), "/var/vmail/x/a maildir 1000/1234");
  EXPECT_EQ(find("a+ext@x.test"), "/var/vmail/x/a maildir 1000/1234");
  EXPECT_EQ(find("b@x.test"), "/var/vmail/b mbox 1000/1234");
  EXPECT_EQ(find("any@all.test"), "/var/vmail/all maildir 2000/1234");
}

TEST_F(Lookup, UnknownUsersBounceAndBadTablesDefer) {
  EXPECT_EQ(find("nobody@x.test"), "5.1.1 unknown user: \"nobody@x.test\"");
  EXPECT_EQ(find("low@x.test"), "4.3.5 mail system configuration error");
  EXPECT_EQ(find("evil@x.test"), "4.3.5 mail system configuration error");
}

TEST(Failure, QuotaBouncesTheRestDefers) {
  const Mailbox mailbox{.path = "/m"};
  const auto code = [&](std::errc e) {
    return outcome_of_failure({std::make_error_code(e), "x"}, mailbox).status.code;
  };
  EXPECT_EQ(code(std::errc::file_too_large), "5.2.2");
  EXPECT_EQ(code(std::errc::no_space_on_device), "4.2.2");
  EXPECT_EQ(code(std::errc::permission_denied), "4.2.0");
  EXPECT_EQ(outcome_of_failure({std::make_error_code(std::errc::file_too_large), "error writing message"}, mailbox)
                .status.text,
            "delivery failed to mailbox /m: error writing message: File too large");
}

}  // namespace
}  // namespace stagepost::virtual_agent
