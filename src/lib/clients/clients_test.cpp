#include <gtest/gtest.h>

#include "clients/bounce.hpp"
#include "clients/cleanup.hpp"
#include "clients/qmgr.hpp"
#include "clients/rewrite.hpp"

namespace stagepost::clients {
namespace {

TEST(QmgrTrigger, LettersAndMessagesHoweverSplit) {
  const std::string input = "WxN4F9D195432C\nFN!!\nN" + std::string(200, '1') + "\nA";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    QmgrTriggerParser parser;
    std::vector<QmgrTrigger> out;
    for (std::size_t i = 0; i < input.size(); i += step) { parser.feed(std::string_view(input).substr(i, step), out); }
    std::string seen;
    for (const auto& trigger : out) { seen += trigger.letter + trigger.queue_id; }
    EXPECT_EQ(seen, "WN4F9D195432CFIIA") << step;
  }
}

template <class Message>
Message round_trip(const Message& message) {
  std::string bytes;
  ipc::append_frame(bytes, message);
  return ipc::decode<Message>(std::string_view(bytes).substr(ipc::kHeaderBytes)).value();
}

TEST(Messages, SurviveTheCodec) {
  const CleanupOpen open{
      .flags = kCleanupMap | kCleanupFilter,
      .arrival = std::chrono::system_clock::time_point(std::chrono::microseconds(1'700'000'000'123'456)),
      .sender = "a b@example.com",
      .full_name = "A B",
      .filter = "smtp-amavis:[127.0.0.1]:10024",
      .attributes = {{"log_client_name", "localhost"}}};
  const CleanupOpen again = round_trip(open);
  EXPECT_EQ(again.arrival, open.arrival);
  EXPECT_EQ(again.attributes, open.attributes);
  const BounceAppend append{"4F9D195432C",
                            {{"a@b", "o@b", "rfc822;o@b", 4, 77},
                             RecipientReport::Action::failed,
                             "5.1.1",
                             "unknown user",
                             "mx.example",
                             "smtp",
                             "550 5.1.1 unknown"}};
  EXPECT_EQ(round_trip(append).report.recipient, append.report.recipient);
}

}  // namespace
}  // namespace stagepost::clients
