#include "maps/cidr_table.hpp"

#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

/// Rules over a small part of the address space, so that networks overlap and conditions nest.
class RandomRules {
 public:
  explicit RandomRules(unsigned seed) : random_(seed) {}

  std::string file(int lines) {
    std::string text;
    int depth = 0;
    for (int i = 0; i < lines; ++i) {
      switch (below(12)) {
        case 0:
          text += fmt::format("if {}{}\n", below(3) == 0 ? "!" : "", network());
          ++depth;
          break;
        case 1:
          if (depth > 0) {
            text += "endif\n";
            --depth;
          }
          break;
        case 2:
          text += fmt::format("!{} rule{}\n", network(), i);
          break;
        default:
          text += fmt::format("{} rule{}\n", network(), i);
      }
    }
    return text;
  }

  std::string address() {
    return below(2) == 0 ? fmt::format("10.{}.{}.{}", below(4), below(4) * 64, below(256))
                         : fmt::format("2001:db8:{:x}::{:x}", below(4), below(65536));
  }

 private:
  std::string network() {
    auto bits = IpBits::parse(address());
    const unsigned length = below(bits->width() + 1);
    return fmt::format("{}/{}", bits->prefix(length).to_string(), length);
  }
  unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_); }
  std::mt19937 random_;
};

TEST(CidrTable, TheTrieFindsTheRuleThatAScanFinds) {
  const OpenContext context;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    RandomRules random(seed);
    const std::string text = random.file(60);
    const CidrRules rules = CidrRules::parse("t", text, context);
    for (int i = 0; i < 150; ++i) {
      const std::string address = random.address();
      ASSERT_EQ(rules.find(address), rules.find_by_scan(address)) << "seed " << seed << ", " << address << "\n" << text;
    }
  }
}

TEST(CidrTable, TheEndsOfTheAddressSpaceAreInTheTrieToo) {
  const CidrRules rules = CidrRules::parse(
      "t", "255.255.255.255 last\n0.0.0.0 first\n0.0.0.0/0 any4\nffff::/16 high\n::/0 any6\n::1 unreached\n", {});
  EXPECT_EQ(rules.find("255.255.255.255"), "last");
  EXPECT_EQ(rules.find("0.0.0.0"), "first");
  EXPECT_EQ(rules.find("128.0.0.1"), "any4");
  EXPECT_EQ(rules.find("ffff::1"), "high");
  EXPECT_EQ(rules.find("::1"), "any6");
  EXPECT_EQ(rules.find("name"), std::nullopt);
}

TEST(CidrTable, AHundredThousandLinesAreSearchedInAFewSteps) {
  std::string text;
  for (unsigned i = 0; i < 100'000; ++i) {
    text += fmt::format("10.{}.{}.{} value{}\n", i >> 16U & 255U, i >> 8U & 255U, i & 255U, i);
  }
  const CidrRules rules = CidrRules::parse("t", text, {});
  const auto begin = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < 100'000; i += 10) {
    ASSERT_EQ(rules.find(fmt::format("10.{}.{}.{}", i >> 16U & 255U, i >> 8U & 255U, i & 255U)),
              fmt::format("value{}", i));
  }
  // 10,000 scans would take minutes; the limit is generous for a busy machine.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace stagepost::maps
