#include "queue/queue_id.hpp"

#include <gtest/gtest.h>

namespace stagepost::queue {
namespace {

// The names below were made by Postfix 3.7, with the times and inodes of their files.
TEST(QueueId, MakesTheNamesOfPostfix) {
  EXPECT_EQ(QueueId::make_short(953327, 10961035).str(), "E8BEFA7408B");
  EXPECT_EQ(QueueId::make_short(19799, 10961452).str(), "04D57A7422C");
  EXPECT_EQ(QueueId::make_long(1795350467, 213743, 10961466).str(), "4jXSyW1W2Rz1bcJh");
  EXPECT_EQ(QueueId::make_long(1795350467, 396369, 10961474).str(), "4jXSyW2pZTz1bcJr");
}

TEST(QueueId, KnowsTheInodeInItsName) {
  EXPECT_EQ(QueueId::parse("E8BEFA7408B")->inode(), 10961035U);
  EXPECT_EQ(QueueId::parse("4jXSyW1W2Rz1bcJh")->inode(), 10961466U);
  EXPECT_EQ(QueueId::parse("ABCDE")->inode(), std::nullopt);
  EXPECT_EQ(QueueId::parse("ABCDEG")->inode(), std::nullopt);
  EXPECT_EQ(QueueId::parse("4jXSyW1W2Rz")->inode(), std::nullopt);
}

TEST(QueueId, TurnsLongNamesIntoShortOnes) {
  const auto id = QueueId::parse("4jXSyW1W2Rz1bcJh");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->to_short(0xA7423A)->str(), "342EFA7423A");
  EXPECT_EQ(id->with_inode(10961474)->str(), "4jXSyW1W2Rz1bcJr");
  EXPECT_EQ(QueueId::parse("E8BEFA7408B")->to_short(0x12)->str(), "E8BEF12");
  EXPECT_FALSE(QueueId::parse("E8BEFA7408B")->with_inode(5));
}

TEST(QueueId, HashesByMicrosecondsInHexadecimal) {
  EXPECT_EQ(QueueId::parse("E8BEFA7408B")->hash_text(), "E8BEFA7408B");
  EXPECT_EQ(QueueId::parse("4jXSyW1W2Rz1bcJh")->hash_text(), "342EF");
  // 'z' too early for a long name.
  EXPECT_EQ(QueueId::parse("4jXSyzzzzz1")->hash_text(), "4jXSyzzzzz1");
  // A vowel where a base 52 digit should be counts as zero microseconds.
  EXPECT_EQ(QueueId::parse("4jXSyW1W2RA1z1")->hash_text(), "00000");
  EXPECT_EQ(QueueId::parse("zzzzzzzzzzz1")->hash_text(), "6F90FF");
}

TEST(QueueId, AcceptsOnlyFileNamesThatCannotLeaveTheDirectory) {
  EXPECT_TRUE(QueueId::parse("a_b"));
  for (const char* bad : {"", ".", "..", "a.b", "a-b", "ab/c", "../../etc/passwd", "a b", "a\n"}) {
    EXPECT_FALSE(QueueId::parse(bad)) << bad;
  }
  EXPECT_FALSE(QueueId::parse(std::string_view("a\0b", 3)));
  EXPECT_TRUE(QueueId::parse(std::string(QueueId::kMaxOctets, 'A')));
  EXPECT_FALSE(QueueId::parse(std::string(QueueId::kMaxOctets + 1, 'A')));
}

}  // namespace
}  // namespace stagepost::queue
