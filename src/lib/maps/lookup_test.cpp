// Search orders, chains of tables, yes/no lists and the source formats.
#include <deque>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maps/chain.hpp"
#include "maps/cidr.hpp"
#include "maps/lookup_order.hpp"
#include "maps/match_list.hpp"
#include "maps/table_source.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> texts(const LookupKeys& keys) {
  std::vector<std::string> result;
  for (const LookupKey& key : keys) {
    result.push_back(key.text + (key.unmatched_extension.empty() ? "" : " " + key.unmatched_extension));
  }
  return result;
}

const ExtensionRule kPlus{.delimiters = "+-"};

TEST(LookupOrder, LocalPartsSplitAtTheFirstDelimiter) {
  EXPECT_EQ(split_local_part("user+foo-bar", kPlus), (SplitLocalPart{"user", "+foo-bar"}));
  EXPECT_EQ(split_local_part("+foo", kPlus), (SplitLocalPart{"+foo", ""}));
  EXPECT_EQ(split_local_part("user+", kPlus), (SplitLocalPart{"user", "+"}));
  EXPECT_EQ(split_local_part("user+foo", ExtensionRule{}), (SplitLocalPart{"user+foo", ""}));
  for (const char* special : {"MAILER-DAEMON", "postmaster", "double-bounce", "owner-list", "list-request"}) {
    EXPECT_EQ(split_local_part(special, kPlus), (SplitLocalPart{special, ""}));
  }
  EXPECT_EQ(split_local_part("owner-list", ExtensionRule{.delimiters = "-", .owner_request_special = false}),
            (SplitLocalPart{"owner", "-list"}));
}

TEST(LookupOrder, VirtualAndCanonical) {
  EXPECT_THAT(
      texts(address_keys("user+foo@example.com", kPlus, Site::local)),
      ElementsAre("user+foo@example.com", "user@example.com +foo", "user+foo", "user +foo", "@example.com +foo"));
  EXPECT_THAT(texts(address_keys("user@example.com", kPlus, Site::other)),
              ElementsAre("user@example.com", "@example.com"));
  EXPECT_THAT(texts(address_keys("user+foo", kPlus, Site::local)), ElementsAre("user+foo", "user +foo"));
}

TEST(LookupOrder, Aliases) { EXPECT_THAT(texts(alias_keys("user+foo", kPlus)), ElementsAre("user+foo", "user +foo")); }

TEST(LookupOrder, Transport) {
  EXPECT_THAT(texts(transport_keys("u+e@a.b.c", kPlus, ParentStyle::dotted)),
              ElementsAre("u+e@a.b.c", "u@a.b.c +e", "a.b.c", ".b.c", ".c", "*"));
  EXPECT_THAT(texts(transport_keys("u@a.b.c", kPlus, ParentStyle::plain)),
              ElementsAre("u@a.b.c", "a.b.c", "b.c", "c", "*"));
  EXPECT_THAT(texts(transport_keys("u@[192.0.2.1]", kPlus, ParentStyle::plain)),
              ElementsAre("u@[192.0.2.1]", "[192.0.2.1]", "*"));
}

TEST(LookupOrder, Access) {
  EXPECT_THAT(texts(access_address_keys("u+e@a.b", kPlus, ParentStyle::dotted)),
              ElementsAre("u+e@a.b", "u@a.b +e", "a.b", ".b", "u+e@", "u@ +e"));
  EXPECT_THAT(texts(access_host_keys("mail.example.com", ParentStyle::plain)),
              ElementsAre("mail.example.com", "example.com", "com"));
  EXPECT_THAT(texts(access_network_keys("192.0.2.1")), ElementsAre("192.0.2.1", "192.0.2", "192.0", "192"));
  EXPECT_THAT(texts(access_network_keys("2001:db8::1:2")),
              ElementsAre("2001:db8::1:2", "2001:db8::1", "2001:db8", "2001"));
}

TEST(LookupOrder, OnlyTheFirstKeyIsWhole) {
  const LookupKeys keys = access_address_keys("u+e@a.b", kPlus, ParentStyle::dotted);
  EXPECT_EQ(keys.front().part, Part::whole);
  for (std::size_t i = 1; i < keys.size(); ++i) { EXPECT_EQ(keys[i].part, Part::partial); }
}

TEST(LookupOrder, ExtensionsAndResults) {
  std::vector<std::string> unknown;
  const auto use = ExtensionPropagation::parse("canonical, virtual bogus", &unknown);
  EXPECT_TRUE(use.applies_to(ExtensionUse::canonical));
  EXPECT_TRUE(use.applies_to(ExtensionUse::virtual_));
  EXPECT_FALSE(use.applies_to(ExtensionUse::alias));
  EXPECT_THAT(unknown, ElementsAre("bogus"));
  EXPECT_EQ(with_extension("joe@x", "+foo"), "joe+foo@x");
  EXPECT_EQ(with_extension("joe", "+foo"), "joe+foo");
  EXPECT_EQ(expand_domain_result("@other", "joe@x"), "joe@other");
  EXPECT_EQ(expand_domain_result("a@other", "joe@x"), "a@other");
  EXPECT_EQ(parent_style("debug_peer_list,fast_flush_domains, mynetworks", "mynetworks"), ParentStyle::plain);
  EXPECT_EQ(parent_style("debug_peer_list", "mynetworks"), ParentStyle::dotted);
}

/// A table that can only be asked with find(), as a network table.
class SlowTable final : public Table {
 public:
  explicit SlowTable(std::unique_ptr<Table> inner)
      : Table(inner->name(), inner->key_kind()), inner_(std::move(inner)) {}
  bool immediate() const override { return false; }
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return std::nullopt; }
  net::Task<Result<Found>> find(std::string key) override {
    auto found = co_await inner_->find(std::move(key));
    co_return found;
  }

 private:
  std::unique_ptr<Table> inner_;
};

OpenContext context_with_slow() {
  auto types = std::make_shared<Registry>(*Registry::built_in());
  types->add("slow", [](std::string_view name, const OpenContext& context) -> Result<std::unique_ptr<Table>> {
    SP_TRY(auto inner, open(name, context));
    return std::make_unique<SlowTable>(std::move(inner));
  });
  OpenContext context;
  context.types = types;
  return context;
}

template <class T>
net::Task<> keep_result(net::Task<T> task, std::optional<T>& result) {
  result = co_await std::move(task);
}

template <class T>
T run(net::Task<T> task) {
  net::EventLoop loop;
  std::optional<T> result;
  loop.run_task(keep_result(std::move(task), result));
  return *std::move(result);
}

TEST(ChainTest, EachKeyGoesToEveryTableBeforeTheNextKey) {
  const auto chain = Chain::open("virtual_alias_maps", "inline:{@x=catchall, y=1} inline:{u@x=exact}", {});
  ASSERT_TRUE(chain);
  const auto answer = chain->find_now(address_keys("u@x", kPlus, Site::other));
  ASSERT_TRUE(answer && *answer && **answer);
  EXPECT_EQ((**answer)->value, "exact");
  EXPECT_EQ((**answer)->table->name(), "inline:{u@x=exact}");
  const auto other = chain->find_now(address_keys("v@x", kPlus, Site::other));
  ASSERT_TRUE(other && *other && **other);
  EXPECT_EQ((**other)->value, "catchall");
  EXPECT_EQ((**other)->key_index, 1U);
}

TEST(ChainTest, PatternTablesSeeWholeKeysOnly) {
  const auto chain = Chain::open("x_maps", "regexp:{{/^@/ partial}, {/^u@/ whole}}", {});
  ASSERT_TRUE(chain);
  const auto none = chain->find_now(address_keys("v@x", kPlus, Site::other));
  ASSERT_TRUE(none && *none);
  EXPECT_FALSE(**none);
  const auto whole = chain->find_now(address_keys("u@x", kPlus, Site::other));
  EXPECT_EQ((**whole)->value, "whole");
}

TEST(ChainTest, FailuresAndEmptyResultsAreErrorsNotMisses) {
  const auto broken = Chain::open("x_maps", "fail:f, static:all", {});
  ASSERT_TRUE(broken);
  EXPECT_FALSE(broken->find_now("k")->has_value());
  const auto missing = Chain::open("x_maps", "texthash:/no/such/file, static:all", {});
  ASSERT_TRUE(missing);
  EXPECT_FALSE(missing->find_now("k")->has_value());
  const auto empty = Chain::open("x_maps", "inline:{k=}, static:all", {});
  ASSERT_TRUE(empty);
  const auto answer = empty->find_now("k");
  ASSERT_FALSE(answer->has_value());
  EXPECT_THAT(answer->error().message(), HasSubstr("empty string result"));
  EXPECT_FALSE(Chain::open("x_maps", "nocolon", {}));
  EXPECT_FALSE(Chain::open("x_maps", "inline:{a=b", {}));
}

TEST(ChainTest, AnEmptyChainFindsNothing) {
  const auto chain = Chain::open("x_maps", "", {});
  ASSERT_TRUE(chain);
  EXPECT_TRUE(chain->empty());
  EXPECT_EQ(chain->find_now("k")->value(), std::nullopt);
}

TEST(ChainTest, TablesThatHaveToWaitAreAwaited) {
  const OpenContext context = context_with_slow();
  const auto chain = Chain::open("x_maps", "inline:{a=1} slow:inline:{b=2}", context);
  ASSERT_TRUE(chain);
  EXPECT_FALSE(chain->immediate());
  EXPECT_EQ(chain->find_now("a")->value(), "1");
  EXPECT_FALSE(chain->find_now("b").has_value());
  EXPECT_EQ(run(chain->find("b")).value(), "2");
  EXPECT_EQ(run(chain->find("c")).value(), std::nullopt);
  const auto failing = Chain::open("x_maps", "slow:fail:f", context);
  EXPECT_FALSE(run(failing->find("c")).has_value());
}

bool matches(const MatchList& list, const MatchList::Subject& subject) {
  const auto answer = list.matches_now(subject);
  EXPECT_TRUE(answer && *answer);
  return answer && *answer && **answer;
}

TEST(MatchListTest, MyNetworksMatchesAddressesLeftToRight) {
  const auto list = MatchList::create(
      "mynetworks", "!192.168.0.1, 192.168.0.0/28 127.0.0.0/8 [::1]/128 [2001:db8::]/64 cidr:{{198.51.100.0/24 x}}",
      {.style = MatchStyle::names_or_addresses}, {});
  ASSERT_TRUE(list);
  EXPECT_FALSE(matches(*list, {.address = "192.168.0.1"}));
  EXPECT_TRUE(matches(*list, {.address = "192.168.0.2"}));
  EXPECT_FALSE(matches(*list, {.address = "192.168.0.16"}));
  EXPECT_TRUE(matches(*list, {.name = "localhost", .address = "127.1.2.3"}));
  EXPECT_TRUE(matches(*list, {.address = "::1"}));
  EXPECT_TRUE(matches(*list, {.address = "2001:db8::5"}));
  EXPECT_FALSE(matches(*list, {.address = "2001:db8:1::5"}));
  EXPECT_TRUE(matches(*list, {.name = "x.example", .address = "198.51.100.7"}));
  EXPECT_FALSE(matches(*list, {.name = "unknown", .address = "203.0.113.1"}));
}

TEST(MatchListTest, DomainsMatchByParentStyle) {
  const auto dotted = MatchList::create("relay_domains", "Example.com .example.net inline:{.example.org=x}",
                                        {.style = MatchStyle::domains, .parents = ParentStyle::dotted}, {});
  ASSERT_TRUE(dotted);
  EXPECT_TRUE(matches(*dotted, {.name = "example.COM"}));
  EXPECT_FALSE(matches(*dotted, {.name = "a.example.com"}));
  EXPECT_TRUE(matches(*dotted, {.name = "a.b.example.net"}));
  EXPECT_FALSE(matches(*dotted, {.name = "example.net"}));
  EXPECT_TRUE(matches(*dotted, {.name = "a.example.org"}));
  const auto plain = MatchList::create("relay_domains", "example.com, inline:{example.org=x}",
                                       {.style = MatchStyle::domains, .parents = ParentStyle::plain}, {});
  ASSERT_TRUE(plain);
  EXPECT_TRUE(matches(*plain, {.name = "a.example.com"}));
  EXPECT_FALSE(matches(*plain, {.name = "anexample.com"}));
  EXPECT_TRUE(matches(*plain, {.name = "a.example.org"}));
}

TEST(MatchListTest, StringsAreComparedWhole) {
  const auto list = MatchList::create("authorized_submit_users", "!www, static:all", {}, {});
  ASSERT_TRUE(list);
  EXPECT_FALSE(matches(*list, {.name = "WWW"}));
  EXPECT_TRUE(matches(*list, {.name = "joe"}));
  const auto domain = MatchList::create("x", "example.com", {}, {});
  EXPECT_FALSE(matches(*domain, {.name = "a.example.com"}));
}

TEST(MatchListTest, FilesAreReplacedByTheirItems) {
  const std::string path = (std::filesystem::temp_directory_path() / "match_list_test.items").string();
  std::ofstream(path) << "# comment\n10.0.0.0/8,\n  !192.0.2.1\n192.0.2.0/24\n";
  const auto list = MatchList::create("mynetworks", path, {.style = MatchStyle::names_or_addresses}, {});
  ASSERT_TRUE(list);
  EXPECT_TRUE(matches(*list, {.address = "10.1.1.1"}));
  EXPECT_FALSE(matches(*list, {.address = "192.0.2.1"}));
  EXPECT_TRUE(matches(*list, {.address = "192.0.2.2"}));
  const auto inverted =
      MatchList::create("mynetworks", "!" + path + " 0.0.0.0/0", {.style = MatchStyle::names_or_addresses}, {});
  EXPECT_FALSE(matches(*inverted, {.address = "10.1.1.1"}));
  EXPECT_TRUE(matches(*inverted, {.address = "192.0.2.1"}));
  std::ofstream(path) << path << "\n";
  const auto endless = MatchList::create("mynetworks", path, {.style = MatchStyle::names_or_addresses}, {});
  ASSERT_TRUE(endless);
  EXPECT_FALSE(endless->matches_now({.address = "10.1.1.1"})->has_value());
  std::filesystem::remove(path);
}

TEST(MatchListTest, ABrokenItemFailsOnlyTheLookupsThatReachIt) {
  const auto list =
      MatchList::create("mynetworks", "10.0.0.0/8 1.2.3.4/33", {.style = MatchStyle::names_or_addresses}, {});
  ASSERT_TRUE(list);
  EXPECT_TRUE(matches(*list, {.address = "10.1.1.1"}));
  const auto answer = list->matches_now({.address = "192.0.2.1"});
  ASSERT_TRUE(answer);
  ASSERT_FALSE(answer->has_value());
  EXPECT_THAT(answer->error().message(), HasSubstr("bad mask length"));
}

TEST(MatchListTest, NetworkTablesAreAwaited) {
  const auto list = MatchList::create("relay_domains", "!a.example slow:inline:{b.example=x}",
                                      {.style = MatchStyle::domains}, context_with_slow());
  ASSERT_TRUE(list);
  EXPECT_FALSE(matches(*list, {.name = "a.example"}));
  EXPECT_FALSE(list->matches_now({.name = "b.example"}).has_value());
  EXPECT_TRUE(run(list->matches({.name = "b.example"})).value());
  EXPECT_FALSE(run(list->matches({.name = "c.example"})).value());
}

TEST(Cidr, PrefixesMaskBits) {
  const auto address = IpBits::parse("192.0.2.255");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->prefix(32), *address);
  EXPECT_EQ(address->prefix(25).to_string(), "192.0.2.128");
  EXPECT_EQ(address->prefix(0).to_string(), "0.0.0.0");
  EXPECT_EQ(IpBits::parse("2001:db8::ff")->prefix(121).to_string(), "2001:db8::80");
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "::g", "1.2.3.4 ", "fe80::1%lo"}) {
    EXPECT_FALSE(IpBits::parse(bad)) << bad;
  }
}

struct AliasCase {
  const char* line;
  const char* key;
  const char* value;
};

TEST(Source, AliasLinesAreStoredAsPostfixStoresThem) {
  for (const AliasCase& test : {AliasCase{"root: joe, jane", "root", "joe, jane"},
                                {"\"Quoted Name\": x@y", "Quoted Name", "x@y"},
                                {"\"q\\\"t\": z", "q\"t", "z"},
                                {"list: a,\tb,   \"c d\"  , e", "list", "a, b, \"c d\", e"},
                                {"prog: \"|/bin/cat -x\"", "prog", "\"|/bin/cat -x\""},
                                {"inc: :include:/tmp/x", "inc", ":include:/tmp/x"},
                                {"a b: c", "a b", "c"},
                                {"spaced   :   v", "spaced", "v"},
                                {"o: \"x\" <a@b>  ,  (comment) c", "o", "\"x\" <a@b>, (comment) c"},
                                {"a:b:c", "a", "b:c"},
                                {"grp: undisclosed: a, b;", "grp", "undisclosed:a, b;"},
                                {"unb: \"abc", "unb", "\"abc\""},
                                {"x.y: 'a b' \"c\"d", "x.y", "'a b' \"c\" d"},
                                {"bs: a\\ b", "bs", "\"a b\""},
                                {"semi: a;b", "semi", "a;b"},
                                {"c: a,,b,", "c", "a, , b, "},
                                {"d: , a", "d", ", a"},
                                {"e: |cat -x", "e", "|cat -x"},
                                {"w: a\\bc", "w", "abc"},
                                {"s: x! y % z | u, \"|\" v", "s", "x!y%z|u, \"|\" v"},
                                {"x: a\\", "x", "a"},
                                {"y: \"b\\", "y", "\"b\""},
                                {"v: [a\\", "v", "[a]"},
                                {"cmd: \"|printf a\\nb \\\\x\"", "cmd", "\"|printf anb \\\\x\""},
                                {"p: \"| a\", |\"b c\"", "p", "\"| a\", |\"b c\""},
                                {"g: a@[1.2.3.4], b@c . d", "g", "a@[1.2.3.4], b@c.d"},
                                {"k: a (c)b", "k", "a (c) b"},
                                {"m: \"\" x", "m", "\"\" x"},
                                {"n: a\"b\"c", "n", "a \"b\" c"},
                                {"p: [a (b", "p", "[a (b]"},
                                {"q: <a>b<c>", "q", "<a>b <c>"},
                                {"r: a ( b", "r", "a ( b"},
                                {"(c) y: z", "(c) y", "z"}}) {
    const auto entry = parse_alias_line(test.line);
    ASSERT_TRUE(entry) << test.line;
    EXPECT_EQ(entry->key, test.key);
    EXPECT_EQ(entry->value, test.value) << test.line;
  }
  for (const char* bad : {"empty:", "no colon", ": x", ":: x", "a,b: z", "a"}) {
    const auto entry = parse_alias_line(bad);
    ASSERT_FALSE(entry) << bad;
    EXPECT_EQ(entry.error().text, "need name:value pair");
  }
  EXPECT_EQ(parse_alias_line("addr@dom: x").error().text, "name must be local");
}

TEST(Source, TableLines) {
  const auto quoted = parse_table_line("a\"b c\"d   v w ");
  ASSERT_TRUE(quoted);
  EXPECT_EQ(quoted->key, "a\"b c\"d");
  EXPECT_EQ(quoted->value, "v w");
  EXPECT_EQ(parse_table_line("\"q\\\"uo\\\\te\" val2")->key, "\"q\\\"uo\\\\te\"");
  EXPECT_EQ(parse_table_line("k\\ 4 v")->key, "k\\ 4");
  for (const char* bad : {"key", "key   ", "\"k\":"}) {
    EXPECT_EQ(parse_table_line(bad).error().text, "expected format: key whitespace value");
  }
  EXPECT_FALSE(parse_table_line(std::string_view("nul\0k v", 7)));
  EXPECT_FALSE(parse_table_line(std::string_view("nul\\\0k v", 8)));
  EXPECT_EQ(parse_table_line("k\"ey v").error().text, "unbalanced '\"' in 'k\"ey v' -- ignoring this line");
}

TEST(Source, LogicalLinesAndWarnings) {
  OpenContext context;
  std::vector<std::string> warnings;
  context.warn = [&](std::string_view line) { warnings.emplace_back(line); };
  std::vector<std::string> entries;
  const auto parsed =
      parse_source("s", "   orphan x\na b\n\n   c\nkey: v\nbad\n\xff x\nlast nonl", SourceFormat::postmap,
                   IgnoringSuffix::no, context, [&](SourceEntry entry) {
                     entries.push_back(std::to_string(entry.line_number) + entry.key + "=" + entry.value);
                     return Result<>{};
                   });
  ASSERT_TRUE(parsed);
  EXPECT_THAT(entries, ElementsAre("2a=b   c", "5key:=v", "8last=nonl"));
  EXPECT_THAT(warnings, ElementsAre("s: logical line must not start with whitespace: \"   orphan x\"",
                                    "s, line 5: record is in \"key: value\" format; is this an alias file?",
                                    "s, line 6: expected format: key whitespace value",
                                    "s, line 7: non-UTF-8 input \"? x\" -- ignoring this line"));
}

}  // namespace
}  // namespace stagepost::maps
