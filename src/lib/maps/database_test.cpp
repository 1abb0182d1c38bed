// Indexed files that are damaged, truncated or replaced while they are open, and types that come from modules.
#include <fcntl.h>
#include <map>
#include <random>
#include <set>
#include <sys/stat.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "maps/context.hpp"
#include "maps/entry_buffer.hpp"
#include "maps/module_loading.hpp"
#include "maps/table_builder.hpp"
#include "maps/table_fixture.hpp"

namespace stagepost::maps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kEntries = 500;

class Databases : public Tables, public ::testing::WithParamInterface<std::string> {
 protected:
  Databases() { context_.recheck_interval = std::chrono::milliseconds(0); }

  std::string name() const { return GetParam() + ":" + path("t"); }
  std::string file() const { return path("t") + types_of(context_).find(GetParam())->file_suffix; }

  void build(std::string_view value) {
    std::string source;
    for (int i = 0; i < kEntries; ++i) { source += fmt::format("key{} {} {}\n", i, value, i); }
    source += "big " + std::string(20'000, 'b') + "\n";
    write("t", source);
    const auto built = build_table(GetParam(), path("t"), {}, context_);
    ASSERT_TRUE(built) << built.error().message();
  }

  std::string bytes() const { return *sys::read_file(file(), SIZE_MAX); }
  void overwrite(std::string_view content) const {
    const unique_fd fd(::open(file().c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    ASSERT_TRUE(sys::write_all(fd.get(), content));
  }

  static std::set<std::string> keys_of(Table& table) {
    std::set<std::string> keys;
    const auto walked = table.each([&](std::string_view key, std::string_view) {
      keys.emplace(key);
      return Result<>{};
    });
    EXPECT_TRUE(walked) << walked.error().message();
    return keys;
  }
};

TEST_P(Databases, FindsAndListsEveryEntry) {
  build("v");
  const auto opened = table(name());
  for (int i = 0; i < kEntries; ++i) { EXPECT_EQ(look(*opened, fmt::format("KEY{}", i)), fmt::format("v {}", i)); }
  EXPECT_EQ(look(*opened, "big").size(), 20'000U);
  EXPECT_EQ(look(*opened, "key"), "-");
  EXPECT_EQ(look(*opened, "key500"), "-");
  EXPECT_EQ(look(*opened, std::string_view("key1\0", 5)), "-");
  EXPECT_EQ(look(*opened, std::string_view("key1\n", 5)), "-");
  EXPECT_EQ(keys_of(*opened).size(), kEntries + 1U);
}

TEST_P(Databases, AReplacedFileIsPickedUpAndADamagedOneLeavesTheOldTableInUse) {
  build("old");
  const auto opened = table(name());
  EXPECT_EQ(look(*opened, "key7"), "old 7");
  build("new");
  EXPECT_EQ(look(*opened, "key7"), "new 7");
  const std::string whole = bytes();
  ASSERT_TRUE(sys::replace_file(file(), "garbage that is no database at all", 0644));
  EXPECT_EQ(look(*opened, "key7"), "new 7");
  ASSERT_EQ(warnings().size(), 1U);
  EXPECT_THAT(warnings().front(), HasSubstr("cannot read the changed table, using the old one"));
  EXPECT_EQ(look(*opened, "key8"), "new 8");
  EXPECT_EQ(warnings().size(), 1U);
  ASSERT_TRUE(sys::unlink(file()));
  EXPECT_EQ(look(*opened, "key7"), "new 7");
  std::filesystem::create_directory(file());
  EXPECT_EQ(look(*opened, "key7"), "new 7");
  std::filesystem::remove(file());
  build("newest");
  EXPECT_EQ(look(*opened, "key7"), "newest 7");
}

TEST_P(Databases, AFileThatIsTruncatedInPlaceIsAnErrorUntilItIsWholeAgain) {
  build("v");
  const auto opened = table(name());
  const std::string whole = bytes();
  for (const std::size_t size :
       {whole.size() - 1, whole.size() / 2, std::size_t{5000}, std::size_t{2049}, std::size_t{0}}) {
    overwrite(std::string_view(whole).substr(0, size));
    for (int i = 0; i < kEntries; ++i) {
      const std::string value = look(*opened, fmt::format("key{}", i));
      EXPECT_TRUE(value == fmt::format("v {}", i) || value.starts_with('!')) << value;
    }
  }
  EXPECT_THAT(look(*opened, "key1"), StartsWith("!"));
  overwrite(whole);
  EXPECT_EQ(look(*opened, "key1"), "v 1");
}

/// Whatever the bytes are: an answer or an Error, in bounded time.
TEST_P(Databases, NoDamageOfTheFileHarmsItsReader) {
  build("v");
  const std::string whole = bytes();
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = whole;
    const int changes = 1 + round % 40;
    for (int i = 0; i < changes; ++i) {
      // Most changes in the first bytes, where the structure is.
      const std::size_t within = round % 3 == 0 ? damaged.size() : std::min<std::size_t>(damaged.size(), 8300);
      damaged[random() % within] = static_cast<char>(random());
    }
    overwrite(damaged);
    const auto opened = open(name(), context_);
    if (!opened) { continue; }
    for (int i = 0; i < kEntries; i += 29) { (void)look(**opened, fmt::format("key{}", i)); }
    (void)look(**opened, "big");
    (void)(*opened)->each([](std::string_view, std::string_view) { return Result<>{}; });
  }
}

INSTANTIATE_TEST_SUITE_P(Embedded, Databases, ::testing::Values("lmdb", "cdb"),
                         [](const auto& info) { return info.param; });

TEST(EntryBuffer, KeepsOneOfEachKeyAndGivesThemInOrder) {
  EntryBuffer buffer(0);
  for (int i = 0; i < 3000; ++i) {
    EXPECT_TRUE(buffer.put(fmt::format("{:04}", 7 * i % 3000), std::to_string(i), false));
  }
  EXPECT_FALSE(buffer.put("0007", "x", false));
  EXPECT_TRUE(buffer.put("0014", "over", true));
  EXPECT_TRUE(buffer.erase("0021"));
  EXPECT_FALSE(buffer.erase("0021"));
  EXPECT_FALSE(buffer.erase("none"));
  EXPECT_TRUE(buffer.erase("0028"));
  EXPECT_TRUE(buffer.put("0028", "again", false));
  std::map<std::string, std::string> all;
  std::string last;
  EXPECT_EQ(buffer.each_sorted([&](std::string_view key, std::string_view value) {
    EXPECT_LT(last, key);
    last = key;
    all.emplace(key, value);
    return 0;
  }),
            0);
  EXPECT_EQ(all.size(), 2999U);
  EXPECT_EQ(all["0007"], "1");
  EXPECT_EQ(all["0014"], "over");
  EXPECT_EQ(all["0028"], "again");
  EXPECT_EQ(buffer.each_sorted([](std::string_view, std::string_view) { return 5; }), 5);
}

TEST_F(Tables, CdbTablesAreOnlyBuiltAsAWhole) {
  write("t", "a 1\n");
  ASSERT_TRUE(build_table("cdb", path("t"), {}, context_));
  EXPECT_THAT(update_table("cdb", path("t"), "stdin", "b 2\n", {}, context_).error().message(),
              HasSubstr("can only be built as a whole"));
  EXPECT_FALSE(erase_from_table("cdb", path("t"), {"a"}, {}, context_));
  EXPECT_EQ(look("cdb:" + path("t"), "a"), "1");
}

TEST_F(Tables, DebugSaysWhatWasAskedAndAnswered) {
  std::vector<std::string> lines;
  context_.note = [&](std::string_view line) { lines.emplace_back(line); };
  EXPECT_EQ(look("debug:inline:{a=1}", "A"), "1");
  EXPECT_EQ(look("debug:inline:{a=1}", "b"), "-");
  EXPECT_EQ(look("debug:fail:x", "k").front(), '!');
  EXPECT_THAT(lines,
              ElementsAre("debug:inline:{a=1} lookup: \"a\" = \"1\"", "debug:inline:{a=1} lookup: \"b\": not found",
                          StartsWith("debug:fail:x lookup: \"k\": error: ")));
  std::string deep = "inline:{a=1}";
  for (int i = 0; i < 30; ++i) { deep.insert(0, "debug:"); }
  EXPECT_THAT(open_error(deep), HasSubstr("nested too deeply"));
  EXPECT_THAT(open_error("debug:name"), HasSubstr("need \"debug:type:name\""));
}

class Modules : public Tables {
 protected:
  config::SnapshotPtr config(const std::string& more) {
    auto loaded = config::Snapshot::from_text(
        fmt::format("shlib_directory = {0}\nmeta_directory = {0}\n{1}", directory_, more), "main.cf", {});
    EXPECT_TRUE(loaded);
    return *loaded;
  }
};

TEST_F(Modules, LinesOfDynamicmapsAreRead) {
  const auto paths = parse_dynamicmaps("d.cf",
                                       "# comment\n\nmysql postfix-mysql.so dict_mysql_open\n"
                                       "x\t/opt/x.so  open_x make_x\nshort so\nbad/type a.so open\n"
                                       "five w o r ds\nx other.so open_x\n",
                                       "/lib/mods", context_);
  EXPECT_EQ(paths, (ModulePaths{{"mysql", "/lib/mods/postfix-mysql.so"}, {"x", "/opt/x.so"}}));
  EXPECT_THAT(
      warnings(),
      ElementsAre(StartsWith("d.cf, line 5: expected"), "d.cf, line 6: unsupported dictionary type name: bad/type",
                  StartsWith("d.cf, line 7: expected"), "d.cf: ignoring duplicate entry for \"x\""));
}

TEST_F(Modules, WithoutBerkeleyDbHashTablesAreLmdbFilesOfTheSameName) {
  context_.types = types_with_modules(*config(""), context_);
  write("t", "a 1\n");
  const std::string error = open_error("hash:" + path("t"));
  EXPECT_THAT(error, HasSubstr("run \"postmap hash:" + path("t") + "\""));
  ASSERT_TRUE(build_table("hash", path("t"), {}, context_));
  EXPECT_EQ(look("hash:" + path("t"), "A"), "1");
  EXPECT_EQ(look("btree:" + path("t"), "a"), "1");
  EXPECT_EQ(table("hash:" + path("t"))->name(), "hash:" + path("t"));
}

TEST_F(Modules, TheFirstLineOfAllFilesCountsAndFilesOfOthersAreSkipped) {
  std::filesystem::create_directory(path("dynamicmaps.cf.d"));
  write("dynamicmaps.cf", "one /first.so f\n");
  write("dynamicmaps.cf.d/a", "two /a.so f\none /a.so f\n");
  write("dynamicmaps.cf.d/b", "two /b.so f\nthree /b.so f\n");
  write("dynamicmaps.cf.d/c", "four /c.so f\n");
  write("dynamicmaps.cf.d/d~", "five /d.so f\n");
  std::filesystem::permissions(path("dynamicmaps.cf.d/c"), std::filesystem::perms::all);
  context_.types = types_with_modules(*config(""), context_);
  EXPECT_THAT(open_error("one:x"), HasSubstr("/first.so"));
  EXPECT_THAT(open_error("two:x"), HasSubstr("/a.so"));
  EXPECT_THAT(open_error("three:x"), HasSubstr("/b.so"));
  EXPECT_EQ(open_error("four:x"), "unsupported dictionary type: four");
  EXPECT_EQ(open_error("five:x"), "unsupported dictionary type: five");
  const std::string list = path("dynamicmaps.cf");
  EXPECT_THAT(warnings_, ElementsAre(list + ".d/a: ignoring duplicate entry for \"one\"",
                                     list + ".d/b: ignoring duplicate entry for \"two\"",
                                     list + ".d/c: file is owned or writable by non-root users -- skipping this file"));
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(list.c_str(), 12345, 12345), 0);
    warnings_.clear();
    context_.types = types_with_modules(*config(""), context_);
    EXPECT_THAT(open_error("one:x"), HasSubstr("/a.so"));
    EXPECT_THAT(warnings_,
                ::testing::Contains(list + ": file is owned or writable by non-root users -- skipping this file"));
  }
}

TEST_F(Modules, AFileThatIsNoModuleOfOursIsRefusedAtTheFirstUse) {
  write("postfix-mysql.so", "no shared object");
  std::filesystem::create_directory(path("dynamicmaps.cf.d"));
  write("dynamicmaps.cf.d/other", "other libm.so.6 dict_other_open\n");
  write("dynamicmaps.cf", "lmdb postfix-mysql.so dict_lmdb_open\nworld world.so dict_world_open\n");
  write("world.so", "");
  std::filesystem::permissions(path("world.so"), std::filesystem::perms::all);
  context_.types = types_with_modules(*config("transport_maps = mysql:/etc/x, other:y\n"), context_);
  EXPECT_THAT(open_error("mysql:x"), StartsWith("load module " + path("postfix-mysql.so")));
  EXPECT_THAT(open_error("other:x"), HasSubstr("libm.so.6"));
  EXPECT_THAT(open_error("world:x"), HasSubstr("world.so: file is owned or writable by non-root users"));
  // A type of the program itself stays that.
  write("t", "a 1\n");
  ASSERT_TRUE(build_table("lmdb", path("t"), {}, context_));
  EXPECT_EQ(look("lmdb:" + path("t"), "a"), "1");
  preload_modules(*config("transport_maps = mysql:/etc/x, world:y\n"), context_);
}

}  // namespace
}  // namespace stagepost::maps
