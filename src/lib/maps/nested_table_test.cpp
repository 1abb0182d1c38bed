// Tables that tables of modules ask, and the keys that a list of domains keeps from a table.
#include "maps/nested_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maps/key_domains.hpp"
#include "maps/table_fixture.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NestedTables : public Tables {};

/// Keeps what it is given, and answers only those who wait.
class WaitingTable final : public Table {
 public:
  explicit WaitingTable(std::map<std::string, std::string>& entries)
      : Table("waiting:x", KeyKind::fixed), entries_(entries) {}
  bool immediate() const override { return false; }
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return std::nullopt; }
  net::Task<Result<Found>> find(std::string key) override {
    const auto found = entries_.find(key);
    co_return found == entries_.end() ? Found{} : Found{found->second};
  }
  net::Task<Result<>> put(std::string key, std::string value) override {
    entries_.insert_or_assign(std::move(key), std::move(value));
    co_return Result<>{};
  }
  net::Task<Result<bool>> erase(std::string key) override { co_return entries_.erase(key) > 0; }

 private:
  std::map<std::string, std::string>& entries_;
};

std::shared_ptr<const Registry> with_waiting_type(std::map<std::string, std::string>& entries) {
  auto types = std::make_shared<Registry>(*Registry::built_in());
  types->add("waiting", [&entries](std::string_view, const OpenContext& context) -> Result<std::unique_ptr<Table>> {
    if (context.loop == nullptr) { return failure("needs a loop"); }
    return std::make_unique<WaitingTable>(entries);
  });
  return types;
}

TEST_F(NestedTables, AlsoThoseThatWaitAreAskedWithoutALoopOfTheCaller) {
  std::map<std::string, std::string> entries{{"a", "1"}};
  context_.types = with_waiting_type(entries);
  const auto opened = nested_table_opener(context_)("waiting:x", Access::write);
  ASSERT_TRUE(opened);
  NestedTable& nested = **opened;
  EXPECT_EQ(nested.find("A").value(), "1");
  EXPECT_EQ(nested.find("b").value(), std::nullopt);
  EXPECT_TRUE(nested.put("b", "2"));
  EXPECT_EQ(nested.find("b").value(), "2");
  EXPECT_TRUE(nested.erase("b").value());
  EXPECT_FALSE(nested.erase("b").value());
  const auto reading = nested_table_opener(context_)("waiting:x", Access::read);
  ASSERT_TRUE(reading);
  EXPECT_THAT((*reading)->put("c", "3").error().message(), HasSubstr("opened for reading"));
}

TEST_F(NestedTables, FilesAreListed) {
  const auto opened = nested_table_opener(context_)("texthash:" + write("t", "a 1\nb 2\n"), Access::read);
  ASSERT_TRUE(opened);
  std::vector<std::string> keys;
  EXPECT_TRUE((*opened)->each([&](std::string_view key, std::string_view) -> Result<> {
    keys.emplace_back(key);
    return {};
  }));
  EXPECT_THAT(keys, testing::UnorderedElementsAre("a", "b"));
}

TEST_F(NestedTables, ATableThatCannotBeOpenedFailsItsLookups) {
  const auto opened = nested_table_opener(context_)("texthash:" + path("missing"), Access::read);
  ASSERT_TRUE(opened);
  EXPECT_THAT((*opened)->find("a").error().message(), HasSubstr("No such file or directory"));
}

TEST_F(NestedTables, DepthIsLimited) {
  for (context_.nesting = 0; context_.nesting < 5; ++context_.nesting) {
    EXPECT_TRUE(nested_table_opener(context_)("static:x", Access::read)) << context_.nesting;
  }
  const auto opened = nested_table_opener(context_)("static:x", Access::read);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message(), "static:x: tables are nested too deeply");
}

net::Task<> change(Table& table, std::vector<std::string>& outcome) {
  for (const std::string key : {"a@in.test", "a@out.test", "@in.test", "in.test"}) {
    auto stored = co_await table.put(key, "v");
    outcome.push_back(stored ? "put" : stored.error().message());
    auto erased = co_await table.erase(key);
    outcome.push_back(!erased ? erased.error().message() : *erased ? "erased" : "not there");
  }
}

TEST_F(NestedTables, KeysOutsideOfTheDomainsAreNeitherStoredNorErased) {
  std::map<std::string, std::string> entries{{"a@out.test", "kept"}};
  auto made = only_key_domains(std::make_unique<WaitingTable>(entries), "in.test", context_);
  ASSERT_TRUE(made);
  std::vector<std::string> outcome;
  net::EventLoop loop;
  loop.run_task(change(**made, outcome));
  EXPECT_THAT(outcome, ElementsAre("put", "erased", "put", "not there", "put", "not there", "put", "not there"));
  EXPECT_THAT(entries, ElementsAre(std::pair<const std::string, std::string>("a@out.test", "kept")));
  EXPECT_THAT(warnings(), ElementsAre("waiting:x: key \"a@out.test\" is outside of its domains: update skipped",
                                      "waiting:x: key \"@in.test\" is outside of its domains: update skipped",
                                      "waiting:x: key \"in.test\" is outside of its domains: update skipped"));
}

}  // namespace
}  // namespace stagepost::maps
