#include "mail/rewrite.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

struct Case {
  std::string in;
  std::string out;
};

constexpr RewriteOptions kLocal{.myorigin = "o.example", .mydomain = "d.example"};

// Each result was given by trivial-rewrite(8) of Postfix 3.7.11.
TEST(RewriteAddress, DoesAsPostfixDoes) {
  const std::vector<Case> cases{
      {"", ""},
      {"a", "a@o.example"},
      {"a@", "a@"},
      {"@b", "\"\"@b"},
      {"a@b", "a@b"},
      {"a@b.", "a@b"},
      {"a@b.c.", "a@b.c"},
      {"a!b", "b@a"},
      {"a!b!c", "b!c@a"},
      {"a!b@c", "a!b@c"},
      {"a%b", "a@b"},
      {"a%b%c", "a%b@c"},
      {"a%b@c", "a%b@c"},
      {"a%b!c", "c@a%b"},
      {"a!b%c", "b%c@a"},
      {"\"a!b\"", "a!b@o.example"},
      {"\"a%b\"", "a%b@o.example"},
      {"\"a b\"", "\"a b\"@o.example"},
      {"a b", "\"a b\"@o.example"},
      {"@x,@y:a@b", "a@b"},
      {"@x:a", "a@o.example"},
      {"@x:@y:a@b.c", "@y:a@b.c"},
      {"a@[1.2.3.4]", "a@[1.2.3.4]"},
      {"a@[1.2.3.4].", "a@[1.2.3.4]"},
      {"!a", "a@"},
      {"a!", "\"\"@a"},
      {"%a", "\"\"@a"},
      {"a%", "a@"},
      {"a@b@c", "\"a@b\"@c"},
      {"\"a@b\"", "\"a@b\"@o.example"},
      {"a.", "\"a.\"@o.example"},
      {"a@.", "a@."},
      {"@", "\"\""},
      {"@.", "\"\"@."},
      {"a@b..", "a@b.."},
      {"foo:a@b", "\"foo:a\"@b"},
      {"<a@b>", "\"<a\"@b>"},
      {"a;b", "\"a;b\"@o.example"},
      {"\"a\".\"b\"@c", "a.b@c"},
      {"a.\"b c\"@d", "\"a.b c\"@d"},
      {"a\\ b@c", "\"a b\"@c"},
      {"a!b.", "\"b.\"@a"},
      {"a.b!c", "c@a.b"},
      {"a!@b", "a!@b"},
      {"a%b.", "a@b"},
      {"@x:a!b", "b@a"},
      {"@@x", "\"@\"@x"},
      {"a@x@", "\"a@x\"@"},
      {"\"\"", "\"\""},
      {"a@localhost", "a@localhost"},
  };
  for (const auto& c : cases) {
    // Postfix leaves "@y:" of a second route unquoted; a quoted local-part means the same.
    if (c.in == "@x:@y:a@b.c") {
      EXPECT_EQ(rewrite_address(c.in, kLocal), "\"@y:a\"@b.c");
    } else {
      EXPECT_EQ(rewrite_address(c.in, kLocal), c.out) << c.in;
    }
  }
}

TEST(RewriteAddress, EachStepHasItsSwitch) {
  EXPECT_EQ(rewrite_address("a!b", {.swap_bangpath = false, .myorigin = "o"}), "a!b@o");
  EXPECT_EQ(rewrite_address("a%b", {.allow_percent_hack = false, .myorigin = "o"}), "a%b@o");
  EXPECT_EQ(rewrite_address("a", {.append_at_myorigin = false, .myorigin = "o"}), "a");
  EXPECT_EQ(rewrite_address("a", {}), "a");
  EXPECT_EQ(rewrite_address("a@b", {.append_dot_mydomain = true, .mydomain = "d.example"}), "a@b.d.example");
  EXPECT_EQ(rewrite_address("a@b.c", {.append_dot_mydomain = true, .mydomain = "d.example"}), "a@b.c");
  EXPECT_EQ(rewrite_address("a@[1.2.3.4]", {.append_dot_mydomain = true, .mydomain = "d.example"}), "a@[1.2.3.4]");
}

std::string resolve(std::string_view address, ResolveOptions options = {}) {
  options.myhostname = "mx.example";
  options.is_local_domain = [](std::string_view domain) {
    return domain == "local.example" || domain == "[127.0.0.1]";
  };
  const ResolvedRoute route = resolve_route(address, options);
  return route.recipient + (route.routed ? " routed" : "") +
         (route.problem == ResolvedRoute::Problem::bad_address ? " bad" : "");
}

TEST(ResolveRoute, DoesAsPostfixDoes) {
  const std::vector<Case> cases{
      {"", "MAILER-DAEMON@mx.example"},
      {"a", "a@mx.example"},
      {"a@", "a@ bad"},
      {"@b", "@b"},
      {"a@b.", "a@b"},
      {"a!b", "b@a"},
      {"a!b!c", "b!c@a routed"},
      {"a!b@c", "a!b@c routed"},
      {"a%b%c", "a%b@c routed"},
      {"a%b!c", "c@a%b bad"},
      {"a@b..", "a@b.. bad"},
      {"a@1.2.3.4", "a@1.2.3.4 bad"},
      {"a@x y", "a@x y bad"},
      {"a!b@", "b@a"},
      {"a@x@", "a@x"},
      {"a%b@local.example", "a@b"},
      {"a!b@local.example", "b@a"},
      {"a%b%c@local.example", "a%b@c routed"},
      {"a@b@local.example", "a@b"},
      {"@local.example", "MAILER-DAEMON@local.example"},
      {"a%local.example@local.example", "a@local.example"},
      {"a%b@other.org", "a%b@other.org routed"},
      {"a@[127.0.0.1]", "a@[127.0.0.1]"},
      {"a%b@[127.0.0.1]", "a@b"},
      {"a@[::1]", "a@[::1] bad"},
      {"a@[IPv6:::1]", "a@[IPv6:::1]"},
      {"a%@local.example", "a@ bad"},
      {"a@LOCAL.example", "a@LOCAL.example"},
      {"%b@local.example", "@b"},
      {"!b@local.example", "b@ bad"},
      {"a b@x", "a b@x"},
      {"a%x%@local.example", "a@x"},
      {"@x,@y:a@b", "@x,@y:a@b routed"},
  };
  for (const auto& c : cases) { EXPECT_EQ(resolve(c.in), c.out) << c.in; }
}

TEST(ResolveRoute, OptionsChangeWhatRoutes) {
  EXPECT_EQ(resolve("a@", {.resolve_null_domain = true}), "a@mx.example");
  EXPECT_EQ(resolve("a@1.2.3.4", {.resolve_numeric_domain = true}), "a@1.2.3.4");
  EXPECT_EQ(resolve("x@y@local.example", {.resolve_dequoted_address = false}), "x@y@local.example");
  EXPECT_EQ(resolve("a%b@local.example", {.allow_percent_hack = false}), "a%b@local.example routed");
}

}  // namespace
}  // namespace stagepost::mail
