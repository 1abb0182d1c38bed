#include "log/last_words.hpp"

#include <array>
#include <functional>
#include <signal.h>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/unique_fd.hpp"

namespace stagepost::log {
namespace {

struct Death {
  int signal;
  std::string words;
};

/// What a child says that has `words` and then does `die`.
Death child_with(const std::string& words, const std::function<void()>& die) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    catch_deadly_signals();
    LastWords last;
    last.set(writer.get(), words.data(), words.size());
    die();
    ::_exit(0);
  }
  writer.reset();
  Death death{.signal = 0, .words = {}};
  std::array<char, 256> buffer{};
  for (ssize_t got = 0; (got = ::read(reader.get(), buffer.data(), buffer.size())) > 0;) {
    death.words.append(buffer.data(), static_cast<std::size_t>(got));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  death.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return death;
}

TEST(LastWords, AreWrittenBeforeADeadlySignalTakesItsCourse) {
  for (const int number : {SIGABRT, SIGALRM, SIGQUIT, SIGSYS}) {
    const Death death = child_with("the last line", [number] { ::kill(::getpid(), number); });
    EXPECT_EQ(death.signal, number);
    EXPECT_EQ(death.words, "the last line");
  }
}

TEST(LastWords, NothingIsWrittenTwiceOrWithoutNeed) {
  const Death death = child_with("once", [] {
    write_last_words();
    ::raise(SIGABRT);
  });
  EXPECT_EQ(death.words, "once");
  EXPECT_EQ(child_with("never", [] {}).words, "");
  EXPECT_EQ(child_with("never", [] { ::raise(SIGKILL); }).words, "");
}

#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
TEST(LastWords, AfterAWildPointer) {
  const Death death = child_with("the last line", [] {
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
  });
  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_EQ(death.words, "the last line");
}
#endif

}  // namespace
}  // namespace stagepost::log
