#include <array>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/deadline.hpp"
#include "base/latency_histogram.hpp"
#include "base/option_value.hpp"
#include "base/progress.hpp"
#include "base/result.hpp"
#include "base/safe_text.hpp"
#include "base/shared_work.hpp"
#include "base/subprocess.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace stagepost {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) { return failure("odd"); }
  return n / 2;
}

Result<int> quarter(int n) {
  SP_TRY(const int first, half(n));
  SP_TRY(half(first));
  return half(first);
}

TEST(Result, TryPassesValuesAndErrors) {
  EXPECT_EQ(quarter(8).value(), 2);
  ASSERT_FALSE(quarter(6).has_value());
  EXPECT_EQ(quarter(6).error().message(), "odd");
}

TEST(Result, SystemErrorsNameTheirPath) {
  const auto fd = sys::open("/nonexistent/file", O_RDONLY);
  ASSERT_FALSE(fd);
  EXPECT_TRUE(fd.error().is(std::errc::no_such_file_or_directory));
  EXPECT_EQ(fd.error().message(), "open /nonexistent/file: No such file or directory");
}

TEST(LogText, ReplacesControlBytesKeepsUtf8AndCuts) {
  EXPECT_EQ(printable("a\r\nb\0c"), "a??b");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3"), "gr\xc3\xbc?");
  EXPECT_EQ(LogText(PeerBytes("\xc3\xbc"), 10, LogText::Utf8::replace).str(), "??");
  EXPECT_EQ(LogText(PeerBytes("abcdef"), 3).str(), "abc...");
  EXPECT_EQ(LogText(PeerBytes("abc"), 3).str(), "abc");
}

TEST(ShellWord, KeepsOnlyAllowedCharacters) { EXPECT_EQ(ShellWord(PeerBytes("a;b`c"), "abc").str(), "a_b_c"); }

TEST(Text, SplitAndTrim) {
  EXPECT_EQ(text::split(" a, b\t,c ", ", \t"), (std::vector<std::string_view>{"a", "b", "c"}));
  EXPECT_EQ(text::split_exact("a::b", ':'), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(text::trim(" \t a b \r\n"), "a b");
}

TEST(Text, NumbersAreWholeAndBounded) {
  EXPECT_EQ(text::parse_unsigned("18446744073709551615"), 18446744073709551615U);
  EXPECT_FALSE(text::parse_unsigned("18446744073709551616"));
  EXPECT_FALSE(text::parse_unsigned("12x"));
  EXPECT_FALSE(text::parse_unsigned("-1"));
  EXPECT_EQ(text::parse_signed("-1"), -1);
  EXPECT_FALSE(text::parse_signed(""));
}

TEST(Text, Utf8RejectsOverlongSurrogatesAndTruncation) {
  EXPECT_TRUE(text::is_utf8("\xf0\x9f\x93\xa7"));
  for (const char* bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff"}) {
    EXPECT_FALSE(text::is_utf8(bad)) << bad;
  }
}

TEST(Deadline, NeverDoesNotPassAndHugeLimitsSaturate) {
  EXPECT_FALSE(Deadline::never().passed());
  EXPECT_TRUE(Deadline::after(SteadyClock::duration::max()).is_never());
  EXPECT_TRUE(Deadline::after(std::chrono::seconds(-1)).passed());
}

TEST(LatencyHistogram, PercentilesAreAtMostOneBucketAboveTheTrueOnes) {
  LatencyHistogram empty;
  EXPECT_EQ(empty.percentile(0.5).count(), 0);
  for (const std::int64_t scale : {std::int64_t{1}, std::int64_t{1000}, std::int64_t{1} << 40}) {
    LatencyHistogram histogram;
    for (std::int64_t i = 1; i <= 1000; ++i) { histogram.add(std::chrono::nanoseconds(i * scale)); }
    for (const int percent : {1, 50, 90, 99, 100}) {
      const auto exact = percent * 10 * scale;
      const auto found = histogram.percentile(percent / 100.0).count();
      EXPECT_GE(found, exact) << scale << " " << percent;
      EXPECT_LE(found, exact + exact / 64 + 1) << scale << " " << percent;
    }
    EXPECT_EQ(histogram.largest().count(), 1000 * scale);
  }
  LatencyHistogram extremes;
  extremes.add(std::chrono::nanoseconds(-5));
  extremes.add(std::chrono::nanoseconds::max());
  EXPECT_EQ(extremes.percentile(0.5).count(), 0);
  EXPECT_EQ(extremes.percentile(1), std::chrono::nanoseconds::max());
}

TEST(Sys, ReplaceFileIsReadBackAndLimited) {
  char directory[] = "/tmp/stagepost-base-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/file";
  ASSERT_TRUE(sys::replace_file(path, "hello", 0640));
  EXPECT_EQ(sys::read_file(path, 5).value(), "hello");
  EXPECT_TRUE(sys::read_file(path, 4).error().is(std::errc::file_too_large));
  EXPECT_EQ(sys::stat(path)->st_mode & 07777U, 0640U);
  EXPECT_EQ(sys::list_directory(directory).value(), std::vector<std::string>{"file"});
  ASSERT_TRUE(sys::unlink(path));
  ::rmdir(directory);
}

TEST(Subprocess, LeavesAProgramWithoutTerminalAndWithLowPriority) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), 0), 0);
  const unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);
  // The policy is the 41st field of stat (5: SCHED_IDLE); it is set once the program runs.
  const std::string report = fmt::format(
      "while [ $(cut -d' ' -f41 /proc/self/stat) != 5 ]; do :; done; read x; echo $? $(readlink /proc/$$/fd/2) >&{}",
      ends[1]);
  ASSERT_TRUE(sys::leave_program({"/bin/sh", "-c", report}));
  writer.reset();
  std::string told;
  std::array<char, 200> chunk;
  for (;;) {
    const auto got = sys::read(reader.get(), chunk);
    ASSERT_TRUE(got);
    if (*got == 0) { break; }
    told.append(chunk.data(), *got);
  }
  EXPECT_EQ(told, "1 /dev/null\n");
  EXPECT_FALSE(sys::leave_program({"/nonexistent/program"}));
}

TEST(Subprocess, TellsTheExitStatusAndPassesEnvironment) {
  EXPECT_EQ(sys::run_program({"/bin/sh", "-c", "exit 5"}).value(), 5);
  EXPECT_EQ(sys::run_program({"sh", "-c", "kill -9 $$"}).value(), 1) << "ended by a signal";
  EXPECT_EQ(sys::run_program({"sh", "-c", "test \"$STAGEPOST_X\" = 'a b'"}, {{"STAGEPOST_X", "a b"}}).value(), 0);
  const auto missing = sys::run_program({"/nonexistent/program"});
  ASSERT_FALSE(missing.has_value());
  EXPECT_TRUE(missing.error().is(std::errc::no_such_file_or_directory));
}

TEST(OptionValue, IsANumberWithinItsLimits) {
  EXPECT_EQ(option_number("7", "count", 1, 7).value(), 7U);
  EXPECT_EQ(option_number("8", "count", 1, 7).error().message(), "bad count: 8");
  for (const char* bad : {"", "0", "-1", "x", "1.5", "99999999999999999999"}) {
    EXPECT_FALSE(option_number(bad, "count", 1, 7)) << bad;
  }
  EXPECT_DOUBLE_EQ(option_decimal("0.25", "rate").value(), 0.25);
  EXPECT_DOUBLE_EQ(option_decimal("10000000", "rate").value(), 1e7);
  for (const char* bad : {"", "0", "-1", "x", "1.5x", "nan", "10000001"}) {
    EXPECT_FALSE(option_decimal(bad, "rate")) << bad;
  }
}

TEST(Progress, ShowsLongWorkOnlyAndCleansUp) {
  std::string shown;
  std::chrono::steady_clock::time_point now{};
  {
    Progress progress("files", [&](std::string_view text) { shown += text; }, [&] { return now; });
    for (int i = 0; i < 1000; ++i) { progress.step(); }
    EXPECT_EQ(shown, "") << "not in the first second";
    now += std::chrono::seconds(2);
    for (int i = 0; i < 200; ++i) { progress.step(); }
    EXPECT_EQ(shown, "\r1024 files\x1b[K") << "once while time stands still";
    progress.hide();
    EXPECT_EQ(shown, "\r1024 files\x1b[K\r\x1b[K");
  }
  EXPECT_EQ(shown, "\r1024 files\x1b[K\r\x1b[K") << "nothing left to remove";
}

TEST(SharedWork, EachPieceIsDoneOnceAndTakenByOneThreadAtATime) {
  for (const std::size_t pieces : {0U, 1U, 2U, 1000U}) {
    std::vector<std::atomic<int>> done(pieces);
    std::size_t next = 0;
    std::atomic<int> taking = 0;
    share_work(
        8,
        [&]() -> std::optional<std::size_t> {
          EXPECT_EQ(taking++, 0);
          const auto piece = next < pieces ? std::optional(next++) : std::nullopt;
          --taking;
          return piece;
        },
        [&](std::size_t piece) { ++done[piece]; });
    EXPECT_TRUE(std::ranges::all_of(done, [](const auto& times) { return times == 1; })) << pieces;
  }
}

}  // namespace
}  // namespace stagepost
