// Table types one by one: what a key finds, what a bad line warns about, what a failure looks like.
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maps/lmdb_file.hpp"
#include "maps/open.hpp"
#include "maps/table_fixture.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

TEST_F(Tables, UnknownTypesAndNamesWithoutTypeAreRefused) {
  EXPECT_EQ(open_error("hash:/etc/x"), "unsupported dictionary type: hash");
  for (const char* name : {"nocolon", ":x", "static:", ""}) {
    EXPECT_EQ(open_error(name), fmt::format("open dictionary: expecting \"type:name\" form instead of \"{}\"", name));
  }
}

TEST_F(Tables, StaticAnswersEveryKey) {
  EXPECT_EQ(look("static:all", "x"), "all");
  EXPECT_EQ(look("static:{ a b }", "y"), "a b");
  EXPECT_EQ(open_error("static:{ a b"), "bad static:name syntax: missing '}' in \"{ a b\"");
}

TEST_F(Tables, InlineTakesPairsAndBracedPairs) {
  const std::string name = "inline:{ x=1, { y = a b c } Z=2, x=3 }";
  EXPECT_EQ(look(name, "x"), "3");
  EXPECT_EQ(look(name, "Y"), "a b c");
  EXPECT_EQ(look(name, "z"), "2");
  EXPECT_EQ(look(name, "w"), "-");
  EXPECT_EQ(open_error("inline:{}"), R"(bad syntax: "inline:{}"; need "inline:{name=value...}")");
  EXPECT_EQ(open_error("inline:{ x }"),
            R"(missing '=' after attribute name: "inline:{ x }"; need "inline:{name=value...}")");
}

TEST_F(Tables, KeysAreFoldedUnlessAskedNotTo) {
  EXPECT_EQ(look("inline:{Straße=1}", "STRASSE"), "1");
  context_.fold = CaseFold::no;
  EXPECT_EQ(look("inline:{Key=1}", "key"), "-");
  EXPECT_EQ(look("inline:{Key=1}", "Key"), "1");
}

TEST_F(Tables, BytesThatAreNotUtf8AreRefusedUnlessChecksAreOff) {
  EXPECT_EQ(look("static:x", "a\x80"), "-");
  EXPECT_EQ(look("static:\xff", "a"), "!table static:?: query error");
  EXPECT_THAT(warnings(), IsSupersetOf({R"(static:x: non-UTF-8 key "a?": malformed UTF-8 or invalid codepoint)"}));
  context_.utf8 = Utf8::off;
  EXPECT_EQ(look("static:\xff", "a\x80"), "\xff");
}

TEST_F(Tables, AnOverlongKeyIsNotFound) {
  EXPECT_EQ(look("static:x", std::string(kKeyLimit, 'k')), "x");
  EXPECT_EQ(look("static:x", std::string(kKeyLimit + 1, 'k')), "-");
}

TEST_F(Tables, AFailureNamesItsTableOnce) {
  const auto broken = table("fail:x");
  const Error reason{std::make_error_code(std::errc::connection_refused), "host h"};
  EXPECT_EQ(lookup_error(*broken, "a\nb", reason).message(),
            R"(fail:x lookup error for "a?b": host h: Connection refused)");
  EXPECT_EQ(query_error(*broken, reason).message(), "table fail:x: query error: host h: Connection refused");
  const Error naming{std::make_error_code(std::errc::invalid_argument), "no service for \"fail:x\""};
  EXPECT_EQ(lookup_error(*broken, "a", naming).message(), naming.message());
}

TEST_F(Tables, ALineAboutAChangedFileSaysItsNameOnce) {
  EXPECT_EQ(unreadable_change("hash:/x", errno_failure(EISDIR, "open database /x.db").error()),
            "hash:/x: cannot read the changed table, using the old one: Is a directory");
  EXPECT_EQ(unreadable_change("hash:/x", failure("not a database").error()),
            "hash:/x: cannot read the changed table, using the old one: not a database");
}

TEST_F(Tables, FailFailsAndEnvironReads) {
  EXPECT_EQ(look("fail:x", "k"), "!table fail:x: query error: Application error");
  context_.fold = CaseFold::no;
  ::setenv("STAGEPOST_MAPS_TEST", "here", 1);
  EXPECT_EQ(look("environ:x", "STAGEPOST_MAPS_TEST"), "here");
  EXPECT_EQ(look("environ:x", "STAGEPOST_MAPS_TEST_NOT"), "-");
}

TEST_F(Tables, UnixUsersAndGroups) {
  EXPECT_THAT(look("unix:passwd.byname", "root"), ::testing::StartsWith("root:x:0:0:"));
  EXPECT_EQ(look("unix:passwd.byname", "no such user"), "-");
  EXPECT_THAT(look("unix:group.byname", "root"), ::testing::StartsWith("root:x:0:"));
  EXPECT_EQ(open_error("unix:hosts"), "unknown table: unix:hosts");
}

TEST_F(Tables, UnionJoinsPipeChainsRandomPicks) {
  EXPECT_EQ(look("unionmap:{static:a, inline:{x=b}, inline:{y=c}}", "x"), "a,b");
  EXPECT_EQ(look("unionmap:{inline:{y=c}}", "x"), "-");
  EXPECT_EQ(look("unionmap:{static:a, fail:f}", "x"),
            "!table unionmap:{static:a, fail:f}: query error: Application error");
  EXPECT_EQ(look("pipemap:{inline:{x=y} inline:{y=z}}", "x"), "z");
  EXPECT_EQ(look("pipemap:{inline:{x=y} inline:{n=z}}", "x"), "-");
  EXPECT_EQ(look("pipemap:{inline:{x=y} fail:f}", "x"),
            "!table pipemap:{inline:{x=y} fail:f}: query error: Application error");
  EXPECT_EQ(look("randmap:{a a,a}", "x"), "a");
  EXPECT_EQ(open_error("randmap:{}"), R"(bad syntax: "randmap:{}"; need "randmap:{value...}")");
  EXPECT_EQ(open_error("unionmap:static:a"), R"(bad syntax: "unionmap:static:a"; need "unionmap:{type:name...}")");
}

TEST_F(Tables, CombinedTablesTakePartialKeysOnlyWhenAllMembersDo) {
  EXPECT_EQ(table("unionmap:{static:a, inline:{x=b}}")->key_kind(), KeyKind::fixed);
  EXPECT_EQ(table("unionmap:{static:a, regexp:{{/x/ y}}}")->key_kind(), KeyKind::pattern);
}

TEST_F(Tables, NestingOfCombinedTablesIsBounded) {
  std::string name = "static:a";
  for (int i = 0; i < 100; ++i) { name = "unionmap:{" + name + "}"; }
  EXPECT_EQ(look(name, "x"), "a");
  EXPECT_EQ(open_error("unionmap:{" + name + "}"), "unionmap: nested too deeply");
}

TEST_F(Tables, TexthashReadsPostmapSource) {
  write("t",
        "# comment\nKey1 value one\n\tcontinued  more   \n   # comment inside\n  still\n\n\"quoted key\" val\nkey2\n"
        "dup a\nDUP b\n\"open val\n");
  const std::string name = "texthash:" + path("t");
  EXPECT_EQ(look(name, "KEY1"), "value one\tcontinued  more     still");
  EXPECT_EQ(look(name, "\"quoted key\""), "val");
  warnings_.clear();
  EXPECT_EQ(look(name, "dup"), "a");
  EXPECT_THAT(warnings(), ElementsAre("t, line 8: expected format: key whitespace value -- ignoring this line",
                                      "t, line 10: duplicate entry: \"DUP\"",
                                      "t, line 11: unbalanced '\"' in '\"open val' -- ignoring this line"));
  EXPECT_EQ(open_error("texthash:/no/such"), "open database /no/such: No such file or directory");
  EXPECT_EQ(open_error("texthash:" + directory_), "read " + directory_ + ": Is a directory");
}

TEST_F(Tables, AChangedFileIsReadAgainAndAMissingOneKeepsTheOld) {
  const auto opened = table("texthash:" + write("t", "k old\n"));
  EXPECT_EQ(look(*opened, "k"), "old");
  write("t", "k newer\n");
  EXPECT_EQ(look(*opened, "k"), "newer");
  std::filesystem::remove(path("t"));
  EXPECT_EQ(look(*opened, "k"), "newer");
  write("t", "k back\n");
  EXPECT_EQ(look(*opened, "k"), "back");
}

TEST_F(Tables, AFileIsNotLookedAtMoreOftenThanTheInterval) {
  context_.recheck_interval = std::chrono::hours(1);
  const auto opened = table("texthash:" + write("t", "k old\n"));
  write("t", "k newer\n");
  EXPECT_EQ(look(*opened, "k"), "old");
}

TEST_F(Tables, AnOversizedSourceIsAnError) {
  context_.source_limit_bytes = 4;
  write("t", "k v\n");
  EXPECT_EQ(look("texthash:" + path("t"), "k"), "v");
  write("t", "k vv\n");
  EXPECT_THAT(open_error("texthash:" + path("t")), ::testing::HasSubstr("File too large"));
}

TEST_F(Tables, AStandInFailsUntilTheTableAppears) {
  const auto stand_in = open_or_stand_in("texthash:" + path("late"), context_);
  EXPECT_THAT(warnings(), ElementsAre("texthash:late is unavailable. open database late: No such file or directory"));
  EXPECT_THAT(look(*stand_in, "k"), ::testing::StartsWith("!"));
  write("late", "k v\n");
  EXPECT_EQ(look(*stand_in, "k"), "v");
}

struct PatternCase {
  const char* key;
  const char* value;
};

class Patterns : public Tables, public ::testing::WithParamInterface<const char*> {};

TEST_P(Patterns, RulesFlagsNestingAndSubstitution) {
  write(
      "p",
      "/^abc(.*)$/ found $1 end\n!/^[a-z]/ negated\n/noresult/\nif /^if/\n/one$/ one\nif !/two/\n"
      "/x(.)z/i case $1 ${1} $(1) $$\nendif\nendif\n|alt|  pipe delim\n/esc\\/aped/ esc\n/trail/x\t  a   b  \n/cont/\n"
      "   inued\n/cs/i case sens\n/a(b)?c/ r $1.\n/r(s)/ $1/$$1\n");
  const auto opened = table(std::string(GetParam()) + ":" + path("p"));
  EXPECT_EQ(opened->key_kind(), KeyKind::pattern);
  for (const PatternCase& test : {PatternCase{"abcX", "found X end"},
                                  {"9", "negated"},
                                  {"noresult", ""},
                                  {"ifone", "one"},
                                  {"ifx1z", "case 1 1 1 $"},
                                  {"ifX2Z", "-"},
                                  {"ifxtwo", "-"},
                                  {"x1z", "-"},
                                  {"alt", "pipe delim"},
                                  {"esc/aped", "esc"},
                                  {"TRAIL", "a   b"},
                                  {"cont", "inued"},
                                  {"cs", "case sens"},
                                  {"CS", "-"},
                                  {"ac", "r ."},
                                  {"rs", "s/$1"}}) {
    EXPECT_EQ(look(*opened, test.key), test.value) << test.key;
  }
}

TEST_P(Patterns, BadRulesAreWarnedAboutAndSkipped) {
  const std::string type = GetParam();
  write("p",
        "/d(e)/ ${2}.$1x\n/g(h)/ $(1)) $y $ x\n/^k(.)/ ${1\n/n(.)/ $10\n/o(.)/ $0\n!/./ neg $1\nif /p/ text "
        "here\nendif x\n"
        "!\nXxx foo\nendif\n/flag/q y\nif /open/\n/z/ ok\n");
  EXPECT_EQ(look(type + ":" + path("p"), "open z"), "ok");
  const std::string where = type + " map p, line ";
  const std::string zero = type == "pcre" ? "out of range" : "out-of-range";
  EXPECT_THAT(warnings(),
              ElementsAre(where + "1: out of range replacement index \"2\": skipping this rule",
                          where + "2: non-numeric replacement index \"y\"", "empty macro name: \"$(1)) $y $ x\"",
                          where + "2: bad replacement syntax: skipping this rule", "truncated macro reference: \"${1\"",
                          where + "3: bad replacement syntax: skipping this rule",
                          where + "4: out of range replacement index \"10\": skipping this rule",
                          where + "5: " + zero + " replacement index \"0\"",
                          where + "5: bad replacement syntax: skipping this rule",
                          where + "6: $number found in negative match replacement text: skipping this rule",
                          where + "7: ignoring extra text after IF statement: \"text here\"",
                          where + "7: do not prepend whitespace to statements between IF and ENDIF",
                          where + "8: ignoring extra text after ENDIF", where + "9: no regexp: skipping this rule",
                          where + "10: ignoring unrecognized request", where + "11: ignoring ENDIF without matching IF",
                          where + "12: unknown regexp option \"q\": skipping this rule",
                          where + "13: IF has no matching ENDIF"));
}

TEST_P(Patterns, RulesCanStandInTheName) {
  const std::string type = GetParam();
  EXPECT_EQ(look(type + ":{{/x/ y}, {/(z)/ k$1}}", "z"), "kz");
  EXPECT_EQ(look(type + ":{{if /q/} {/x/ y} {endif}}", "x"), "-");
  EXPECT_EQ(open_error(type + ":{/x/ y}"), type + " map: no '{' at start of text in \"/x/\"");
}

TEST_P(Patterns, SubstitutionCanBeForbidden) {
  context_.substitution = Substitution::forbidden;
  EXPECT_EQ(look(std::string(GetParam()) + ":{{/(x)/ $1} {/x/ $$}}", "x"), "$");
  EXPECT_EQ(warnings_.size(), 1U);
}

TEST_P(Patterns, MultiLineFlagAndEmptyKey) {
  const std::string name = std::string(GetParam()) + ":{{/^nm$/m m}, {/^nl$/ l}, {/^$/ empty}}";
  EXPECT_EQ(look(name, "a\nnm"), "m");
  EXPECT_EQ(look(name, "a\nnl"), "-");
  EXPECT_EQ(look(name, ""), "empty");
}

INSTANTIATE_TEST_SUITE_P(Both, Patterns, ::testing::Values("regexp", "pcre"));

TEST_F(Tables, PcreGivesUpOnEndlessBacktrackingWithATemporaryError) {
  const std::string subject = std::string(5000, 'a') + "!";
  EXPECT_THAT(look("pcre:{{/^(a+)+$/ x}}", subject), ::testing::StartsWith("!"));
}

TEST_F(Tables, CidrFirstMatchCounts) {
  write("c", "10.0.0.0/8 ten\n[2001:db8::]/32 v6\n[::1] lo\n10.1.0.0/16 hidden\n192.0.2.1\thost  two\n0.0.0.0/0 any\n");
  const std::string name = "cidr:" + path("c");
  for (const PatternCase& test : {PatternCase{"10.1.1.1", "ten"},
                                  {"2001:DB8:1::2", "v6"},
                                  {"::1", "lo"},
                                  {"192.0.2.1", "host  two"},
                                  {"192.0.2.2", "any"},
                                  {"2001:db9::", "-"},
                                  {"[10.1.1.1]", "-"},
                                  {"foo", "-"},
                                  {"", "-"},
                                  {"010.1.1.1", "-"},
                                  {"10.1", "-"},
                                  {"::ffff:10.1.1.1", "-"}}) {
    EXPECT_EQ(look(name, test.key), test.value) << test.key;
  }
}

TEST_F(Tables, CidrNegationAndNesting) {
  write("c",
        "if 10.0.0.0/8\n10.1.1.1 in\nif !10.1.1.2\n10.1.1.2 never\n!10.2.0.0/16 not2\nendif\nendif\n"
        "!192.0.2.0/24 other\n");
  const std::string name = "cidr:" + path("c");
  EXPECT_EQ(look(name, "10.1.1.1"), "in");
  EXPECT_EQ(look(name, "10.3.0.1"), "not2");
  EXPECT_EQ(look(name, "10.1.1.2"), "other");
  EXPECT_EQ(look(name, "192.0.2.9"), "-");
  EXPECT_EQ(look(name, "::1"), "-");
}

TEST_F(Tables, CidrWarnings) {
  write("c",
        "10.1.2.3/8 hostbits\n1.2.3 short\n1.2.3.4/33 toolong\nfoo bar\n1.2.3.4\n1.2.3.4/ x\n010.0.0.1 octal\n"
        "[1.2.3.4/24] brk\nendif x\nendif\nif 1.0.0.0/8 text\nif 1.0.0.0/8\n[::1]x y\n!\n");
  (void)look("cidr:" + path("c"), "9.9.9.9");
  const std::string where = "cidr map c, line ";
  EXPECT_THAT(
      warnings(),
      ElementsAre(where + "1: non-null host address bits in \"10.1.2.3/8\", perhaps you should use \"10.0.0.0/8\" "
                          "instead: skipping this rule",
                  where + "2: bad address pattern: \"1.2.3\": skipping this rule",
                  where + "3: bad mask length in \"1.2.3.4/33\": skipping this rule",
                  where + "4: bad address pattern: \"foo\": skipping this rule",
                  where + "5: no lookup result: skipping this rule",
                  where + "6: bad mask value in \"1.2.3.4/\": skipping this rule",
                  where + "7: bad address pattern: \"010.0.0.1\": skipping this rule",
                  where + "8: non-null host address bits in \"1.2.3.4/24\", perhaps you should use "
                          "\"1.2.3.0/24\" instead: skipping this rule",
                  where + "9: garbage after ENDIF: skipping this rule",
                  where + "10: ENDIF without IF: skipping this rule",
                  where + "11: bad mask value in \"1.0.0.0/8 text\": skipping this rule",
                  where + "13: garbage after \"[::1]\": skipping this rule",
                  where + "14: no address pattern: skipping this rule", where + "12: IF has no matching ENDIF"));
}

class Lmdb : public Tables {
 protected:
  using Entries = std::vector<std::pair<std::string, std::string>>;
  void build(const Entries& entries, LmdbWriter::Options options = {}) const {
    auto writer = LmdbWriter::open(path("t.lmdb"), options);
    ASSERT_TRUE(writer) << writer.error().message();
    for (const auto& [key, value] : entries) {
      const auto put = (*writer)->put(key, value, LmdbWriter::Existing::keep);
      ASSERT_TRUE(put) << put.error().message();
    }
    const auto done = (*writer)->commit();
    ASSERT_TRUE(done) << done.error().message();
  }
  std::string name() const { return "lmdb:" + path("t"); }
};

TEST_F(Lmdb, FindsWhatWasWrittenInOrder) {
  build({{"b", "2"}, {"a", "1"}});
  const auto opened = table(name());
  EXPECT_EQ(look(*opened, "A"), "1");
  EXPECT_EQ(look(*opened, "c"), "-");
  EXPECT_EQ(look(*opened, ""), "-");
  EXPECT_EQ(look(*opened, std::string(600, 'k')), "-");
  std::vector<std::string> all;
  ASSERT_TRUE(opened->each([&](std::string_view key, std::string_view value) {
    all.push_back(fmt::format("{}={}", key, value));
    return Result<>{};
  }));
  EXPECT_THAT(all, ElementsAre("a=1", "b=2"));
}

TEST_F(Lmdb, ReadsFilesWithAndWithoutNul) {
  build({{"a", "1"}}, {.nul = TrailingNul::without});
  EXPECT_EQ(look(name(), "a"), "1");
  context_.nul = TrailingNul::with;
  const auto strict = open(name(), context_);
  ASSERT_TRUE(strict);
  EXPECT_EQ(look(**strict, "a"), "-");
}

TEST_F(Lmdb, AnOpenTableSeesAReplacedAndAnUpdatedFile) {
  build({{"a", "1"}});
  const auto opened = table(name());
  EXPECT_EQ(look(*opened, "a"), "1");
  build({{"a", "2"}});
  EXPECT_EQ(look(*opened, "a"), "2");
  build({{"b", "3"}}, {.mode = LmdbWriter::Mode::update});
  EXPECT_EQ(look(*opened, "b"), "3");
  EXPECT_EQ(look(*opened, "a"), "2");
}

TEST_F(Lmdb, NothingChangesWithoutCommit) {
  build({{"a", "1"}});
  for (const auto mode : {LmdbWriter::Mode::replace, LmdbWriter::Mode::update}) {
    auto writer = LmdbWriter::open(path("t.lmdb"), {.mode = mode});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->put("a", "2", LmdbWriter::Existing::overwrite));
  }
  EXPECT_EQ(look(name(), "a"), "1");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), std::filesystem::directory_iterator()), 1);
}

TEST_F(Lmdb, DuplicatesErasureAndOverlongKeys) {
  build({{"a", "1"}});
  auto writer = LmdbWriter::open(path("t.lmdb"), {.mode = LmdbWriter::Mode::update});
  ASSERT_TRUE(writer);
  EXPECT_EQ((*writer)->put("a", "2", LmdbWriter::Existing::keep), false);
  EXPECT_EQ((*writer)->put("a", "3", LmdbWriter::Existing::overwrite), true);
  EXPECT_EQ((*writer)->erase("zz"), false);
  EXPECT_EQ((*writer)->put("b", "4", LmdbWriter::Existing::keep), true);
  EXPECT_EQ((*writer)->erase("b"), true);
  EXPECT_EQ((*writer)->put(std::string(510, 'k'), "5", LmdbWriter::Existing::keep), true);
  const auto too_long = (*writer)->put(std::string(511, 'k'), "5", LmdbWriter::Existing::keep);
  ASSERT_FALSE(too_long);
  EXPECT_THAT(too_long.error().message(), ::testing::HasSubstr("MDB_BAD_VALSIZE: Unsupported size of key"));
  ASSERT_TRUE((*writer)->commit());
  EXPECT_EQ(look(name(), "a"), "3");
  EXPECT_EQ(look(name(), std::string(510, 'K')), "5");
}

TEST_F(Lmdb, TheMapGrowsAsOftenAsNeeded) {
  Entries entries;
  for (int i = 0; i < 2000; ++i) { entries.emplace_back(fmt::format("key{}", i), std::string(200, 'v')); }
  build(entries, {.map_size_bytes = 65536});
  context_.lmdb_map_size_bytes = 65536;
  const auto opened = table(name());
  EXPECT_EQ(look(*opened, "key1999"), std::string(200, 'v'));
  for (auto& [key, value] : entries) { key += "x"; }
  build(entries, {.mode = LmdbWriter::Mode::update, .map_size_bytes = 65536});
  EXPECT_EQ(look(*opened, "key1999x"), std::string(200, 'v'));
}

TEST_F(Lmdb, ANewFileHasTheGivenModeAndAReplacedOneKeepsIts) {
  build({{"a", "1"}}, {.file_mode = 0640});
  struct stat status{};
  ASSERT_EQ(::stat(path("t.lmdb").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
  build({{"a", "1"}}, {.file_mode = 0600});
  ASSERT_EQ(::stat(path("t.lmdb").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST_F(Lmdb, WhatIsNoLmdbFileIsAnError) {
  EXPECT_EQ(open_error("lmdb:" + path("none")), "open database " + path("none.lmdb") + ": No such file or directory");
  write("g.lmdb", "garbage\n");
  EXPECT_EQ(open_error("lmdb:" + path("g")),
            "open database " + path("g.lmdb") + ": MDB_INVALID: File is not an LMDB file");
  std::filesystem::create_directory(path("d.lmdb"));
  EXPECT_EQ(open_error("lmdb:" + path("d")), "open database " + path("d.lmdb") + ": Is a directory");
}

}  // namespace
}  // namespace stagepost::maps
