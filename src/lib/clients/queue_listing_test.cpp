#include "clients/queue_listing.hpp"

#include <gtest/gtest.h>

namespace stagepost::clients {
namespace {

using std::string_view_literals::operator""sv;

/// What Postfix 3.7.11 sends, shortened.
constexpr std::string_view kPostfix =
    "protocol\0mail_queue_list_protocol\0\0"
    "queue_name\0active\0queue_id\0006F9D211A180\0time\0001795354665\0size\000353\0forced_expire\0000\0sender\0a@b\0"
    "recipient\0c@d\0reason\0\0recipient\0e@f\0reason\0host said: 450\0\0"
    "queue_name\0hold\0queue_id\0006638011A005\0time\0001\0size\0002\0forced_expire\0001\0sender\0MAILER-DAEMON\0\0\0"sv;

class Recorder final : public ListingSink {
 public:
  void on_message(const ListedMessage& m) override {
    text += "[" + m.queue_name + " " + m.queue_id + " " + std::to_string(m.arrival_time) + " " +
            std::to_string(m.size_bytes) + (m.forced_expire ? " expire " : " ") + m.sender;
  }
  void on_recipient(const ListedRecipient& r) override { text += " <" + r.address + ">" + r.reason; }
  void on_message_end() override { text += "]"; }
  std::string text;
};

constexpr std::string_view kExpected =
    "[active 6F9D211A180 1795354665 353 a@b <c@d> <e@f>host said: 450][hold 6638011A005 1 2 expire MAILER-DAEMON]";

TEST(ShowqParser, ReadsWhatPostfixSends) {
  Recorder recorder;
  ShowqParser parser(recorder);
  ASSERT_TRUE(parser.feed(kPostfix));
  EXPECT_TRUE(parser.finished());
  EXPECT_EQ(recorder.text, kExpected);
}

TEST(ShowqParser, ReadsTheSameByteByByte) {
  Recorder recorder;
  ShowqParser parser(recorder);
  for (std::size_t i = 0; i < kPostfix.size(); ++i) {
    EXPECT_FALSE(parser.finished());
    ASSERT_TRUE(parser.feed(kPostfix.substr(i, 1)));
  }
  EXPECT_TRUE(parser.finished());
  EXPECT_EQ(recorder.text, kExpected);
}

TEST(ShowqWriter, WritesWhatPostfixSends) {
  ShowqWriter writer;
  writer.on_message({"active", "6F9D211A180", 1795354665, 353, false, "a@b"});
  writer.on_recipient({"c@d", ""});
  writer.on_recipient({"e@f", "host said: 450"});
  writer.on_message_end();
  writer.on_message({"hold", "6638011A005", 1, 2, true, "MAILER-DAEMON"});
  writer.on_message_end();
  writer.finish();
  EXPECT_EQ(writer.buffer(), kPostfix);
}

TEST(ShowqWriter, AValueCannotAddAttributes) {
  ShowqWriter writer;
  writer.on_message({"active", "A", 0, 0, false, std::string("x\0recipient\0y\0", 14)});
  writer.on_message_end();
  writer.finish();
  Recorder recorder;
  ShowqParser parser(recorder);
  ASSERT_TRUE(parser.feed(writer.buffer()));
  EXPECT_EQ(recorder.text, "[active A 0 0 x]");
}

TEST(ShowqParser, RefusesWhatIsNotAListing) {
  for (const auto bytes : {"\0"sv, "garbage\0"sv, "protocol\0other\0"sv, "protocol\0mail_queue_list_protocol\0x\0"sv,
                           "protocol\0mail_queue_list_protocol\0\0recipient\0x\0"sv,
                           "protocol\0mail_queue_list_protocol\0\0queue_name\0x\0\0"sv,
                           "protocol\0mail_queue_list_protocol\0\0queue_name\0x\0queue_id\0A\0size\0abc\0"sv,
                           "protocol\0mail_queue_list_protocol\0\0queue_name\0x\0queue_id\0A\0reason\0abc\0"sv,
                           "protocol\0mail_queue_list_protocol\0\0\0more"sv}) {
    Recorder recorder;
    ShowqParser parser(recorder);
    EXPECT_FALSE(parser.feed(bytes)) << bytes;
  }
}

TEST(ShowqParser, LimitsTheLengthOfAToken) {
  Recorder recorder;
  const std::string start = "protocol" + std::string(1, '\0') + "mail_queue_list_protocol" + std::string(2, '\0');
  ShowqParser parser(recorder);
  ASSERT_TRUE(parser.feed(start + std::string(kShowqTokenOctets, 'x')));
  EXPECT_FALSE(parser.feed("x"));
}

TEST(ShowqParser, KnowsACutOffListing) {
  Recorder recorder;
  ShowqParser parser(recorder);
  ASSERT_TRUE(parser.feed(kPostfix.substr(0, kPostfix.size() - 1)));
  EXPECT_FALSE(parser.finished());
}

}  // namespace
}  // namespace stagepost::clients
