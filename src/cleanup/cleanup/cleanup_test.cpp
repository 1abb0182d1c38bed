#include <map>

#include <gtest/gtest.h>

#include "cleanup/cleanup/alias_expansion.hpp"
#include "cleanup/cleanup/content_writer.hpp"
#include "cleanup/cleanup/header_plan.hpp"

namespace stagepost::cleanup {
namespace {

class FakeAliases final : public AliasLookup {
 public:
  std::map<std::string, std::string> table;
  std::string broken;
  net::Task<Result<std::optional<Hit>>> find(std::string address) override {
    if (address == broken) { co_return failure("table is broken"); }
    const auto found = table.find(address);
    if (found == table.end()) { co_return std::nullopt; }
    co_return Hit{found->second, {}};
  }
  net::Task<Result<std::string>> rewrite(std::string external) override {
    if (external.find('@') == std::string::npos) { external += "@here.test"; }
    co_return external;
  }
};

std::string expand(FakeAliases& aliases, const Settings& settings, const std::string& address) {
  net::EventLoop loop;
  std::string shown;
  loop.run_task([](FakeAliases& lookup, const Settings& s, std::string a, std::string& out) -> net::Task<> {
    const auto result = co_await expand_alias(lookup, s, a);
    if (!result) {
      out = result.error().status.code + " " + result.error().status.text;
    } else {
      for (const auto& member : *result) { out += (out.empty() ? "" : " ") + member; }
    }
  }(aliases, settings, address, shown));
  return shown;
}

TEST(AliasExpansion, RecursesInOrderAndStopsAtLoops) {
  FakeAliases aliases;
  aliases.table = {{"list@x", "a@x, b@x"}, {"a@x", "c@y"}, {"b@x", "b@x, d"}, {"p@x", "q@x"}, {"q@x", "p@x"}};
  const Settings settings;
  EXPECT_EQ(expand(aliases, settings, "list@x"), "c@y b@x d@here.test");
  EXPECT_EQ(expand(aliases, settings, "p@x"), "p@x");
  EXPECT_EQ(expand(aliases, settings, "other@x"), "other@x");
}

TEST(AliasExpansion, DomainResultKeepsTheUser) {
  FakeAliases aliases;
  aliases.table = {{"u@old.test", "@new.test"}};
  EXPECT_EQ(expand(aliases, Settings{}, "u@old.test"), "u@new.test");
}

TEST(AliasExpansion, LimitsAndTableErrorsAreTemporary) {
  FakeAliases aliases;
  aliases.table = {{"two@x", "a@x, b@x"}, {"one@x", "a@x"}, {"deep@x", "one@x"}};
  aliases.broken = "broken@x";
  Settings settings;
  settings.virtual_alias_expansion_limit = 1;
  EXPECT_EQ(expand(aliases, settings, "one@x"), "a@x");
  EXPECT_EQ(expand(aliases, settings, "two@x"), "4.6.0 Alias expansion error");
  settings = {};
  settings.virtual_alias_recursion_limit = 2;
  EXPECT_EQ(expand(aliases, settings, "one@x"), "a@x");
  EXPECT_EQ(expand(aliases, settings, "deep@x"), "4.6.0 Alias expansion error");
  settings = {};
  settings.virtual_alias_address_length_limit = 2;
  EXPECT_EQ(expand(aliases, settings, "one@x"), "4.6.0 Alias expansion error");
  EXPECT_EQ(expand(aliases, Settings{}, "broken@x"), "4.3.0 Temporary lookup failure");
}

TEST(IsCanonical, OnlyAddressesThatRewritingCannotChange) {
  for (const char* yes : {"a@b.c", "first.last+x@mail.example.com", "=?#@a.b"}) {
    EXPECT_TRUE(is_canonical(yes)) << yes;
  }
  for (const char* no : {"a", "a@b", "a@b.c.", "a%b@c.d", "x!a@b.c", "@a.b:c@d.e", "\"a b\"@c.d", "a@[1.2.3.4]",
                         "a@b@c.d", ".a@b.c", "a..b@c.d", "a@b..c", "@b.c"}) {
    EXPECT_FALSE(is_canonical(no)) << no;
  }
}

TEST(LineCutter, SameLinesHoweverSplit) {
  const std::string input = "short\n\n" + std::string(25, 'x') + "\nlast";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    LineCutter cutter(10);
    std::string seen;
    const auto sink = [&](mail::Line line) {
      seen += std::string(line.text) + (line.end == mail::LineEnd::complete ? "|" : "+");
    };
    for (std::size_t i = 0; i < input.size(); i += step) { cutter.feed(std::string_view(input).substr(i, step), sink); }
    cutter.finish(sink);
    EXPECT_EQ(seen, "short||xxxxxxxxxx+xxxxxxxxxx+xxxxx|last|") << step;
  }
}

HeaderPlan::Action feed(HeaderPlan& plan, const std::string& text) {
  return plan.on_header(mail::parse_header_field(text).value());
}

TEST(HeaderPlan, DropsRewritesAndCountsHops) {
  Settings settings;
  settings.drop_headers = {mail::HeaderKind::bcc};
  settings.drop_header_names = {"x-secret"};
  settings.hopcount_limit = 2;
  HeaderPlan plan(settings, true);
  EXPECT_EQ(feed(plan, "Bcc: a@b"), HeaderPlan::Action::drop);
  EXPECT_EQ(feed(plan, "X-Secret: 1"), HeaderPlan::Action::drop);
  EXPECT_EQ(feed(plan, "To: a@b"), HeaderPlan::Action::rewrite);
  EXPECT_EQ(feed(plan, "Subject: x"), HeaderPlan::Action::keep);
  EXPECT_EQ(feed(plan, "Received: 1"), HeaderPlan::Action::keep);
  EXPECT_EQ(feed(plan, "Received: 2"), HeaderPlan::Action::keep);
  EXPECT_FALSE(plan.too_many_hops());
  EXPECT_EQ(feed(plan, "Received: 3"), HeaderPlan::Action::keep);
  EXPECT_TRUE(plan.too_many_hops());
}

TEST(HeaderPlan, MissingFieldsInOrder) {
  Settings settings;
  settings.myhostname = "mx.test";
  const HeaderPlan::Message message{"ABC123", "joe@x.test", "Joe User", std::chrono::sys_seconds{}};
  HeaderPlan bare(settings, true);
  const auto fields = bare.missing_fields(message);
  ASSERT_EQ(fields.size(), 3U);
  EXPECT_EQ(fields[0], "Message-Id: <19700101000000.ABC123@mx.test>");
  EXPECT_TRUE(fields[1].starts_with("Date: Thu,"));
  EXPECT_EQ(fields[2], "From: Joe User <joe@x.test>");
  EXPECT_EQ(bare.message_id_for_log(), "message-id=<19700101000000.ABC123@mx.test>");

  HeaderPlan null_sender(settings, true);
  EXPECT_EQ(null_sender.missing_fields({"ABC123", "", "Joe User", std::chrono::sys_seconds{}}).at(2),
            "From: MAILER-DAEMON");

  HeaderPlan remote(settings, false);
  EXPECT_TRUE(remote.missing_fields(message).empty());
  EXPECT_EQ(remote.message_id_for_log(), "message-id=<>");

  HeaderPlan resent(settings, true);
  (void)feed(resent, "Resent-To: a@b");
  (void)feed(resent, "Message-Id: <old@x>");
  EXPECT_TRUE(resent.missing_fields(message).at(0).starts_with("Resent-Message-Id: "));
}

}  // namespace
}  // namespace stagepost::cleanup
