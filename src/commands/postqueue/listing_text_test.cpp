// The expected texts are what Postfix 3.7.11 prints for the same listing.
#include "commands/postqueue/listing_text.hpp"

#include <cstdlib>
#include <ctime>

#include <gtest/gtest.h>

namespace stagepost::postqueue {
namespace {

using clients::ListedMessage;

class Listing : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

void play(clients::ListingSink& sink) {
  sink.on_message({"active", "1234567890", 1795354665, 12345678, false, "a@b"});
  sink.on_recipient({"r@x", ""});
  sink.on_message_end();
  sink.on_message({"hold", "12345678901", 0, 1234567, true, "a@b"});
  sink.on_recipient({"a", "short"});
  sink.on_recipient({"b", "short"});
  sink.on_recipient({"c", std::string(76, 'z')});
  sink.on_recipient({"d", std::string(77, 'z')});
  sink.on_recipient({"e", ""});
  sink.on_message_end();
  sink.on_message({"deferred", "4dvLmQ0pPWz11Abcd", 1795354665, 353, false, "q\"\\/\x01\x7f\tn"});
  sink.on_recipient({"\xc3\xa9\xff\x80 x", "re\nason"});
  sink.on_message_end();
}

TEST_F(Listing, TextWithShortIds) {
  TextListing text(IdColumn::short_form);
  play(text);
  text.finish();
  EXPECT_EQ(text.buffer(),
            "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
            "1234567890* 12345678 Sun Nov 22 13:37:45  a@b\n"
            "                                         r@x\n"
            "\n"
            "12345678901!# 1234567 Thu Jan  1 00:00:00  a@b\n" +
                std::string(71, ' ') +
                "(short)\n"
                "                                         a\n"
                "                                         b\n"
                "(" +
                std::string(76, 'z') +
                ")\n"
                "                                         c\n"
                "(" +
                std::string(77, 'z') +
                ")\n"
                "                                         d\n" +
                std::string(58, ' ') +
                "(reason unavailable)\n"
                "                                         e\n"
                "\n"
                "4dvLmQ0pPWz11Abcd     353 Sun Nov 22 13:37:45  q\"\\/???n\n" +
                std::string(69, ' ') +
                "(re?ason)\n"
                "                                         \xc3\xa9?"
                "? x\n"
                "\n"
                "-- 13262 Kbytes in 3 Requests.\n");
}

TEST_F(Listing, TextWithLongIds) {
  TextListing text(IdColumn::long_form);
  text.on_message({"hold", "12345678901", 1795354665, 1234567, true, "a@b"});
  text.on_recipient({"r@x", ""});
  text.on_message_end();
  text.finish();
  EXPECT_EQ(text.buffer(),
            "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
            "12345678901!#      1234567 Sun Nov 22 13:37:45 a@b\n"
            "                                               r@x\n"
            "\n"
            "-- 1205 Kbytes in 1 Request.\n");
}

TEST_F(Listing, AnEmptyQueue) {
  TextListing text(IdColumn::short_form);
  text.finish();
  EXPECT_EQ(text.buffer(), "Mail queue is empty\n");
}

TEST_F(Listing, Json) {
  JsonListing json;
  play(json);
  EXPECT_EQ(
      json.buffer(),
      "{\"queue_name\": \"active\", \"queue_id\": \"1234567890\", \"arrival_time\": 1795354665, \"message_size\": "
      "12345678, \"forced_expire\": false, \"sender\": \"a@b\", \"recipients\": [{\"address\": \"r@x\"}]}\n"
      "{\"queue_name\": \"hold\", \"queue_id\": \"12345678901\", \"arrival_time\": 0, \"message_size\": 1234567, "
      "\"forced_expire\": true, \"sender\": \"a@b\", \"recipients\": [{\"address\": \"a\", \"delay_reason\": "
      "\"short\"}, {\"address\": \"b\", \"delay_reason\": \"short\"}, {\"address\": \"c\", \"delay_reason\": \"" +
          std::string(76, 'z') + "\"}, {\"address\": \"d\", \"delay_reason\": \"" + std::string(77, 'z') +
          "\"}, {\"address\": \"e\"}]}\n"
          "{\"queue_name\": \"deferred\", \"queue_id\": \"4dvLmQ0pPWz11Abcd\", \"arrival_time\": 1795354665, "
          "\"message_size\": 353, \"forced_expire\": false, \"sender\": \"q\\\"\\\\/???n\", \"recipients\": "
          "[{\"address\": \"\xc3\xa9?"
          "? x\", \"delay_reason\": \"re?ason\"}]}\n");
}

}  // namespace
}  // namespace stagepost::postqueue
