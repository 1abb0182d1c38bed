#include "log/batch.hpp"

#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace stagepost::log {
namespace {

std::vector<std::pair<std::optional<LineTime>, std::string>> all_lines(std::string_view datagram) {
  std::vector<std::pair<std::optional<LineTime>, std::string>> lines;
  BatchReader reader(datagram);
  while (const auto line = reader.next()) { lines.emplace_back(line->time, line->text); }
  return lines;
}

using Lines = decltype(all_lines({}));

TEST(Batch, LinesComeBackWithTheirTimes) {
  std::string batch;
  append_to_batch(batch, 0x0a0a0a0a0a0a0a0a, "time of nothing but LFs");
  append_to_batch(batch, -1, "");
  const std::size_t before = batch.size();
  append_to_batch(batch, std::numeric_limits<LineTime>::max(), "last");
  EXPECT_EQ(batch.size() - before, batch_octets(4));
  EXPECT_EQ(all_lines(batch), (Lines{{0x0a0a0a0a0a0a0a0a, "time of nothing but LFs"},
                                     {-1, ""},
                                     {std::numeric_limits<LineTime>::max(), "last"}}));
}

TEST(Batch, ALineCannotHoldAnother) {
  std::string batch;
  append_to_batch(batch, 1, "a\n12345678b");
  EXPECT_EQ(all_lines(batch), (Lines{{1, "a?12345678b"}}));
}

TEST(Batch, OtherDatagramsAreOneLineWithoutTime) {
  EXPECT_EQ(all_lines("a\nb"), (Lines{{std::nullopt, "a\nb"}}));
  EXPECT_EQ(all_lines(""), (Lines{{std::nullopt, ""}}));
}

TEST(Batch, CutAnywhereItEnds) {
  std::string batch;
  append_to_batch(batch, 5, "one");
  append_to_batch(batch, 6, "two");
  for (std::size_t length = 1; length < batch.size(); ++length) {
    const Lines lines = all_lines(std::string_view(batch).substr(0, length));
    ASSERT_LE(lines.size(), 2U);
    for (const auto& line : lines) { ASSERT_TRUE(line.first == 5 || line.first == 6); }
  }
}

TEST(Batch, TimeGoesOn) {
  const LineTime before = line_time();
  EXPECT_GE(line_time(), before);
  EXPECT_GT(before, 0);
}

}  // namespace
}  // namespace stagepost::log
