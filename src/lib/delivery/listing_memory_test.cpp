#include "delivery/listing_memory.hpp"

#include <gtest/gtest.h>

namespace stagepost::delivery {
namespace {

using FileState = ListingMemory::FileState;

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kNow = 1'795'354'665'123'456'789;
constexpr FileState kMessage{.inode = 7, .changed_ns = kNow - 60'000 * kMillisecond, .size_bytes = 5000};
constexpr FileState kLog{.inode = 8, .changed_ns = kNow - 50'000 * kMillisecond, .size_bytes = 300};

TEST(ListingMemory, TellsWhatItWasTold) {
  ListingMemory memory(1 << 20);
  static_cast<void>(memory.begin());
  memory.remember(7, "deferred/A7", kMessage, kLog, kNow, "text");
  const auto known = memory.recall(7, "deferred/A7");
  ASSERT_TRUE(known);
  EXPECT_EQ(known->message, kMessage);
  EXPECT_EQ(known->log, kLog);
  EXPECT_EQ(known->text, "text");
}

TEST(ListingMemory, AnInodeUnderAnotherNameIsAnotherMessage) {
  ListingMemory memory(1 << 20);
  static_cast<void>(memory.begin());
  memory.remember(7, "deferred/A7", kMessage, kLog, kNow, "text");
  for (const auto* name : {"hold/A7", "deferred/B7", "deferred/A", "deferred/A7t", ""}) {
    EXPECT_FALSE(memory.recall(7, name)) << name;
  }
  EXPECT_FALSE(memory.recall(8, "deferred/A7"));
}

TEST(ListingMemory, FilesThatWereJustChangedAreNotSettled) {
  const auto changed = [](std::int64_t when) { return FileState{.inode = 1, .changed_ns = when, .size_bytes = 1}; };
  EXPECT_TRUE(ListingMemory::is_settled(changed(kNow - 51 * kMillisecond), kNow));
  EXPECT_FALSE(ListingMemory::is_settled(changed(kNow - 50 * kMillisecond), kNow));
  EXPECT_FALSE(ListingMemory::is_settled(changed(kNow), kNow));
  EXPECT_FALSE(ListingMemory::is_settled(changed(kNow + 3'600'000 * kMillisecond), kNow));
  // A file system that keeps whole seconds.
  constexpr std::int64_t kWhole = kNow / 1'000'000'000 * 1'000'000'000;
  EXPECT_FALSE(ListingMemory::is_settled(changed(kWhole), kWhole + 2000 * kMillisecond));
  EXPECT_TRUE(ListingMemory::is_settled(changed(kWhole), kWhole + 2001 * kMillisecond));
  // No file: making one gives it an inode.
  EXPECT_TRUE(ListingMemory::is_settled({}, 0));
}

TEST(ListingMemory, WhatIsNotSettledReplacesNothingButIsForgotten) {
  ListingMemory memory(1 << 20);
  static_cast<void>(memory.begin());
  FileState young = kLog;
  young.changed_ns = kNow;
  memory.remember(7, "deferred/A7", kMessage, kLog, kNow, "old");
  memory.remember(7, "deferred/A7", kMessage, young, kNow, "new");
  EXPECT_FALSE(memory.recall(7, "deferred/A7"));
  memory.remember(7, "deferred/A7", young, kLog, kNow, "new");
  EXPECT_FALSE(memory.recall(7, "deferred/A7"));
  EXPECT_EQ(memory.size_bytes(), 0U);
}

TEST(ListingMemory, StaysBelowItsLimitAndKeepsWhatItHas) {
  constexpr std::size_t kLimit = 10'000;
  ListingMemory memory(kLimit);
  static_cast<void>(memory.begin());
  const std::string text(200, 'x');
  for (ino_t i = 1; i <= 1000; ++i) {
    memory.remember(i, "deferred/A", kMessage, kLog, kNow, text);
    EXPECT_LE(memory.size_bytes(), kLimit);
  }
  const std::size_t kept = memory.messages();
  EXPECT_GT(kept, 10U);
  EXPECT_LT(kept, 40U);
  for (ino_t i = 1; i <= kept; ++i) { EXPECT_TRUE(memory.recall(i, "deferred/A")) << i; }
  // One that has become larger than the room that is left.
  memory.remember(1, "deferred/A", kMessage, kLog, kNow, std::string(1000, 'x'));
  EXPECT_LE(memory.size_bytes(), kLimit);
  EXPECT_FALSE(memory.recall(1, "deferred/A"));
}

TEST(ListingMemory, ACompleteListingDropsWhatItDidNotAskFor) {
  ListingMemory memory(1 << 20);
  const auto first = memory.begin();
  for (ino_t i = 1; i <= 3; ++i) { memory.remember(i, "deferred/A", kMessage, kLog, kNow, "text"); }
  memory.end(first);
  EXPECT_EQ(memory.messages(), 3U);
  const auto second = memory.begin();
  EXPECT_TRUE(memory.recall(1, "deferred/A"));
  EXPECT_EQ(memory.messages(), 3U);
  // Another one that began later and comes to its end earlier asked for another one.
  const auto third = memory.begin();
  EXPECT_TRUE(memory.recall(2, "deferred/A"));
  memory.end(second);
  EXPECT_EQ(memory.messages(), 2U);
  memory.end(third);
  EXPECT_EQ(memory.messages(), 1U);
  EXPECT_TRUE(memory.recall(2, "deferred/A"));
  static_cast<void>(memory.begin());
  memory.end(memory.begin());
  EXPECT_EQ(memory.messages(), 0U);
  EXPECT_EQ(memory.size_bytes(), 0U);
}

}  // namespace
}  // namespace stagepost::delivery
