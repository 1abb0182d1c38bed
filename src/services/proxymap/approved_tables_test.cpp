#include "services/proxymap/approved_tables.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stagepost::proxymap {
namespace {

TEST(ApprovedTables, AreThoseBehindProxy) {
  const ApprovedTables tables("proxy:unix:passwd.byname, lmdb:/etc/aliases\n proxy:ldap:/etc/ldap.cf example.com");
  EXPECT_TRUE(tables.contains("unix:passwd.byname"));
  EXPECT_TRUE(tables.contains("ldap:/etc/ldap.cf"));
  EXPECT_FALSE(tables.contains("lmdb:/etc/aliases"));
  EXPECT_FALSE(tables.contains("proxy:unix:passwd.byname"));
  EXPECT_FALSE(tables.contains("example.com"));
  EXPECT_EQ(tables.size(), 2U);
}

TEST(ApprovedTables, AreComparedAsWritten) {
  const ApprovedTables tables("proxy:inline:{a=b, c=d} proxy:texthash:/t");
  EXPECT_TRUE(tables.contains("inline:{a=b, c=d}"));
  EXPECT_FALSE(tables.contains("inline:{a=b,c=d}"));
  EXPECT_FALSE(tables.contains("texthash:/t/"));
  EXPECT_FALSE(tables.contains("texthash:/T"));
}

TEST(ApprovedTables, MayBeInsideOthersAndInsideRestrictions) {
  const ApprovedTables tables(
      "unionmap:{proxy:lmdb:/a, pipemap:{proxy:lmdb:/b}} { check_ccert_access { proxy:lmdb:/c, search_order = x } }"
      " proxy:unionmap:{lmdb:/d,lmdb:/e} proxy:proxy:lmdb:/f");
  EXPECT_TRUE(tables.contains("lmdb:/a"));
  EXPECT_TRUE(tables.contains("lmdb:/b"));
  EXPECT_TRUE(tables.contains("lmdb:/c"));
  EXPECT_TRUE(tables.contains("unionmap:{lmdb:/d,lmdb:/e}"));
  EXPECT_TRUE(tables.contains("lmdb:/f"));
  EXPECT_FALSE(tables.contains("lmdb:/d"));
  EXPECT_FALSE(tables.contains("lmdb:/e"));
}

TEST(ApprovedTables, ExclusionsAndBadSyntaxApproveNothing) {
  EXPECT_EQ(ApprovedTables("!proxy:lmdb:/a proxy: proxy:name xproxy:lmdb:/b").size(), 0U);
  EXPECT_EQ(ApprovedTables("").size(), 0U);
  EXPECT_EQ(ApprovedTables("{ proxy:lmdb:/a").size(), 0U);
}

TEST(ApprovedTables, DepthIsLimited) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '{') + "proxy:lmdb:/a" + std::string(depth, '}');
  };
  EXPECT_TRUE(ApprovedTables(nested(20)).contains("lmdb:/a"));
  EXPECT_FALSE(ApprovedTables(nested(21)).contains("lmdb:/a"));
  EXPECT_EQ(ApprovedTables(nested(200'000)).size(), 0U);
}

}  // namespace
}  // namespace stagepost::proxymap
