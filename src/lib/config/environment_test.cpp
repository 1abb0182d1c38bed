// Which lists Postfix 3.7.11 accepts was tried with postqueue.
#include "config/environment.hpp"

#include <gtest/gtest.h>

#include "config/snapshot.hpp"

namespace stagepost::config {
namespace {

TEST(Environment, AnItemIsANameOrAnAssignment) {
  const auto item = [](std::string_view piece) { return parse_environment_item(piece).value().value(); };
  EXPECT_EQ(item("TZ").name, "TZ");
  EXPECT_EQ(item("TZ").value, std::nullopt);
  EXPECT_EQ(item("A=b=c").value, "b=c");
  EXPECT_EQ(item("A=").value, "");
  EXPECT_EQ(item("{ A = b c }").name, "A");
  EXPECT_EQ(item("{ A = b c }").value, "b c");
  EXPECT_EQ(item("{A={b}}").value, "{b}");
  EXPECT_EQ(item("1x=y").name, "1x");
  EXPECT_FALSE(parse_environment_item("{}").value());
}

TEST(Environment, WhatIsNeitherIsAnErrorWithItsLine) {
  for (const auto& [value, problem] :
       {std::pair("=x", "missing attribute name in: =x"), std::pair("{=c}", "missing attribute name in: =c"),
        std::pair("TZ {a=b", "missing '}' in \"{a=b\""), std::pair("{a=b}c", "syntax error after '}' in \"{a=b}c\"")}) {
    for (const std::string name : {"import_environment", "export_environment"}) {
      const auto config = Snapshot::from_text(name + " = " + value + "\n", "main.cf", {});
      ASSERT_FALSE(config) << value;
      EXPECT_EQ(config.error().message(), "main.cf, line 1: " + name + ": " + problem);
    }
  }
  EXPECT_TRUE(check_environment_list("MAIL_CONFIG TZ, LANG=C {A = b c} {}"));
}

}  // namespace
}  // namespace stagepost::config
