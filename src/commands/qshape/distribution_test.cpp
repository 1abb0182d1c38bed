// Tables as Postfix's qshape prints them.
#include "commands/qshape/distribution.hpp"

#include <gtest/gtest.h>

namespace stagepost::qshape {
namespace {

using Growth = AgeBuckets::Growth;

TEST(AgeBuckets, GrowGeometricallyOrLinearly) {
  const AgeBuckets geometric(4, 5, Growth::geometric);
  EXPECT_EQ(geometric.titles(), (std::vector<std::string>{"5", "10", "20", "20+"}));
  EXPECT_EQ(geometric.of(-400), 0U) << "from the future";
  EXPECT_EQ(geometric.of(299), 0U);
  EXPECT_EQ(geometric.of(300), 1U);
  EXPECT_EQ(geometric.of(1199), 2U);
  EXPECT_EQ(geometric.of(INT64_MAX), 3U);
  EXPECT_EQ(AgeBuckets(4, 5, Growth::linear).titles(), (std::vector<std::string>{"5", "10", "15", "15+"}));
  EXPECT_EQ(AgeBuckets(1, 5, Growth::linear).titles(), std::vector<std::string>{"0+"});
  EXPECT_EQ(AgeBuckets(60, 10'000'000, Growth::geometric).of(INT64_MAX), 59U) << "no overflow";
}

TEST(Domain, OfAnAddress) {
  EXPECT_EQ(domain_of("a@X.Test"), "x.test");
  EXPECT_EQ(domain_of(""), "MAILER-DAEMON");
  EXPECT_EQ(domain_of("local"), "local");
  EXPECT_EQ(domain_of("\"q@z\"@w.test"), "w.test");
  EXPECT_EQ(domain_of("a@..x..y.q."), "x.y.q");
  EXPECT_EQ(domain_of("a@."), "");
  EXPECT_EQ(domain_of("a@x\x1b[H.test"), "x?[h.test") << "nothing for the terminal";
}

TEST(Distribution, TableIsRightJustifiedAndSorted) {
  Distribution distribution(AgeBuckets(3, 5, Growth::geometric));
  for (int i = 0; i < 123; ++i) { distribution.add("a@one.test", 1000); }
  distribution.add("b@two.test", 10);
  distribution.add("b@two.test", 400);
  distribution.add("b@.", 400);
  const std::string pad(64, ' ');
  EXPECT_EQ(distribution.table({}), std::string(66, ' ') + "   T  5 10 10+\n" + std::string(61, ' ') +
                                        "TOTAL 126  1  2 123\n" + std::string(58, ' ') + "one.test 123  0  0 123\n" +
                                        std::string(58, ' ') + "two.test   2  1  1   0\n");
  EXPECT_EQ(distribution.table({.rows = 1}).find("one.test"), std::string::npos);
}

TEST(Distribution, LongNamesKeepTheirEnd) {
  Distribution distribution(AgeBuckets(30, 5, Growth::geometric));
  distribution.add("a@very.long.domain-name.example.com", 1);
  distribution.add("a@other.long.domain-name.example.com", 1);
  const std::string table = distribution.table({.parents = true, .min_subdomains = 2});
  EXPECT_NE(table.find("\n+-name.example.com  1"), std::string::npos) << table;
  EXPECT_NE(table.find("\n.+name.example.com  2"), std::string::npos) << table;
}

TEST(Distribution, ParentsCountWhatIsRightBelow) {
  Distribution distribution(AgeBuckets(2, 5, Growth::geometric));
  for (const char* address :
       {"a@x.y.z.test", "a@x.y.z.test", "b@y.z.test", "c@q.z.test", "d@z.test", "e@w.y.z.test", "f@v.w.y.z.test"}) {
    distribution.add(address, 1);
  }
  const auto has = [&](std::size_t minimum, const std::string& row) {
    return distribution.table({.parents = true, .min_subdomains = minimum}).find(" " + row + "  0\n") !=
           std::string::npos;
  };
  EXPECT_TRUE(has(3, ".z.test  6  6")) << "z.test itself does not count";
  EXPECT_TRUE(has(3, ".y.z.test  4  4"));
  EXPECT_FALSE(has(4, ".z.test  6  6"));
  EXPECT_TRUE(has(1, ".w.y.z.test  1  1"));
  EXPECT_FALSE(has(2, ".w.y.z.test  1  1"));
  EXPECT_FALSE(has(1, ".test  7  7")) << "top level";
}

}  // namespace
}  // namespace stagepost::qshape
