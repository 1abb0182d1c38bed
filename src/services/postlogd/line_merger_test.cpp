#include "services/postlogd/line_merger.hpp"

#include <gtest/gtest.h>

namespace stagepost::postlogd {
namespace {

constexpr log::LineTime kMs = 1'000'000;
constexpr log::LineTime kNow = 1'000'000 * kMs;

std::string batch(std::initializer_list<std::pair<log::LineTime, std::string_view>> lines) {
  std::string datagram;
  for (const auto& [time, text] : lines) { log::append_to_batch(datagram, time, text); }
  return datagram;
}

std::string settled(LineMerger& merger, log::LineTime now) {
  std::string out;
  merger.take_settled(now, out);
  return out;
}

std::string all(LineMerger& merger) {
  std::string out;
  merger.take_all(out);
  return out;
}

TEST(LineMerger, LinesOfSeveralProcessesStandInTheOrderOfTheirTimes) {
  LineMerger merger;
  merger.add(batch({{kNow - 3 * kMs, "c"}, {kNow - kMs, "e"}}), kNow);
  merger.add(batch({{kNow - 5 * kMs, "a"}, {kNow - 4 * kMs, "b"}, {kNow - 2 * kMs, "d"}}), kNow + kMs);
  EXPECT_EQ(all(merger), "a\nb\nc\nd\ne\n");
  EXPECT_TRUE(merger.empty());
  EXPECT_EQ(all(merger), "");
}

TEST(LineMerger, EqualTimesKeepTheOrderOfArrival) {
  LineMerger merger;
  merger.add(batch({{kNow, "a"}, {kNow, "b"}}), kNow);
  merger.add(batch({{kNow, "c"}}), kNow);
  merger.add("d", kNow);
  EXPECT_EQ(all(merger), "a\nb\nc\nd\n");
}

TEST(LineMerger, ALineIsHeldUntilThoseOfOthersMustHaveCome) {
  LineMerger merger({.settled_least = std::chrono::milliseconds(40), .gather = std::chrono::milliseconds(10)});
  EXPECT_FALSE(merger.due());
  merger.add(batch({{kNow, "a"}, {kNow + 5 * kMs, "b"}}), kNow + 5 * kMs);
  EXPECT_EQ(merger.due(), kNow + 50 * kMs);
  EXPECT_EQ(settled(merger, kNow + 40 * kMs - 1), "");
  EXPECT_EQ(settled(merger, kNow + 40 * kMs), "a\n");
  EXPECT_EQ(merger.due(), kNow + 55 * kMs);
  merger.add(batch({{kNow + 4 * kMs, "late, but before b"}}), kNow + 20 * kMs);
  EXPECT_EQ(settled(merger, kNow + 50 * kMs), "late, but before b\nb\n");
  EXPECT_FALSE(merger.due());
}

TEST(LineMerger, AProcessThatSendsLateMakesItWaitLonger) {
  LineMerger merger({.settled_least = std::chrono::milliseconds(20), .settled_most = std::chrono::milliseconds(100)});
  merger.add(batch({{kNow - 40 * kMs, "a"}, {kNow, "b"}}), kNow);
  EXPECT_EQ(merger.due(), kNow - 40 * kMs + 80 * kMs + 20 * kMs) << "twice as long, and a quarter";
  EXPECT_EQ(settled(merger, kNow + 40 * kMs), "a\n");
  EXPECT_EQ(settled(merger, kNow + 80 * kMs), "b\n");
  // Not for ever, and not without a bound.
  log::LineTime now = kNow + 100 * kMs;
  merger.add(batch({{now - 900 * kMs, "c"}, {now, "d"}}), now);
  EXPECT_EQ(settled(merger, now), "c\n");
  EXPECT_EQ(settled(merger, now + 100 * kMs), "d\n");
  for (int i = 0; i < 50; ++i) { merger.add("e", now += 100 * kMs); }
  EXPECT_EQ(all(merger).size(), 100U);
  merger.add(batch({{now, "f"}}), now);
  EXPECT_EQ(settled(merger, now + 20 * kMs), "f\n");
}

TEST(LineMerger, NoSenderMovesItsLinesFar) {
  LineMerger merger;
  merger.add(batch({{kNow + 3'600'000 * kMs, "from the future"}}), kNow);
  merger.add(batch({{INT64_MAX, "x"}, {INT64_MIN, "y"}}), kNow + 1);
  merger.add(batch({{kNow + 2, "honest"}}), kNow + 3);
  EXPECT_LE(*merger.due(), kNow + 250 * kMs);
  EXPECT_EQ(settled(merger, kNow + 250 * kMs), "from the future\nx\ny\nhonest\n");
  merger.add(batch({{INT64_MIN, "from the past"}}), kNow);
  EXPECT_GE(*merger.due(), kNow - 1000 * kMs);
  EXPECT_EQ(settled(merger, kNow), "from the past\n") << "it delays nothing";
}

TEST(LineMerger, OneSendersLinesKeepTheirOrder) {
  LineMerger merger;
  merger.add(batch({{kNow - kMs, "a"}, {kNow - 5 * kMs, "b"}, {kNow, "c"}}), kNow);
  EXPECT_EQ(all(merger), "a\nb\nc\n");
}

TEST(LineMerger, LinesWithoutATimeHaveThatOfTheirArrival) {
  LineMerger merger;
  merger.add("plain\n", kNow);
  merger.add(batch({{kNow - kMs, "before"}, {kNow + kMs, "after"}}), kNow + 2 * kMs);
  EXPECT_EQ(all(merger), "before\nplain\nafter\n");
}

TEST(LineMerger, MemoryIsBounded) {
  LineMerger merger({.octets = 4096});
  std::string datagram;
  int lines = 0;
  for (; !merger.full(); ++lines) { merger.add(batch({{kNow, ""}}), kNow); }
  EXPECT_LT(lines, 4096 / 16) << "also of lines that are empty";
  EXPECT_EQ(all(merger), std::string(static_cast<std::size_t>(lines), '\n'));
  EXPECT_FALSE(merger.full());
}

TEST(LineMerger, LinesCannotBeForged) {
  LineMerger merger;
  merger.add("Nov 22 host postfix/x[1]: a\nNov 22 host postfix/qmgr[2]: b\r", kNow);
  merger.add("x\n", kNow);
  merger.add(batch({{kNow, "two\x07"}, {kNow, "gr\xc3\xbc\xc3\x9f \xff"}}), kNow);
  merger.add(std::string("\x1f") + "cut", kNow);
  merger.add(std::string(60'001, 'y'), kNow);
  EXPECT_EQ(all(merger),
            "Nov 22 host postfix/x[1]: a?Nov 22 host postfix/qmgr[2]: b?\nx\ntwo?\ngr\xc3\xbc\xc3\x9f ?\n" +
                std::string(60'000, 'y') + "...\n");
}

}  // namespace
}  // namespace stagepost::postlogd
