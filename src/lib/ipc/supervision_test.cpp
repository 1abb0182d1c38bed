// Status messages and the scoreboard page.
#include "ipc/supervision.hpp"

#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "ipc/scoreboard.hpp"

namespace stagepost::ipc {
namespace {

TEST(Supervision, AMessageSurvivesTheTrip) {
  const StatusMessage sent{.verb = Verb::retiring, .value = 4711, .extra = 0xfffffffe};
  const auto got = decode(encode(sent), Sender::child);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(*got, sent);
}

TEST(Supervision, VerbsOfTheOtherSideAreRefused) {
  for (int verb = 0; verb < 256; ++verb) {
    const auto packet = encode({.verb = static_cast<Verb>(verb), .value = 1});
    const bool child = decode(packet, Sender::child).has_value();
    const bool master = decode(packet, Sender::master).has_value();
    EXPECT_EQ(child, verb >= 1 && verb <= 7) << verb;
    EXPECT_EQ(master, verb >= 16 && verb <= 23) << verb;
  }
}

TEST(Supervision, WrongSizesAndMarksAreRefused) {
  const auto packet = encode({.verb = Verb::idle});
  const std::string longer(packet.data(), packet.size());
  EXPECT_FALSE(decode(std::string_view(longer).substr(0, 11), Sender::child).has_value());
  EXPECT_FALSE(decode(longer + "x", Sender::child).has_value());
  EXPECT_FALSE(decode(std::string_view(), Sender::child).has_value());
  std::string foreign = longer;
  foreign[0] = 'X';
  EXPECT_FALSE(decode(foreign, Sender::child).has_value());
}

TEST(Supervision, HelloCarriesKindFlagsAndRelease) {
  const auto hello = make_hello(Kind::single, kHelloOverlap);
  EXPECT_EQ(kind_of(hello).value(), Kind::single);
  EXPECT_NE(hello.value & kHelloOverlap, 0U);
  EXPECT_FALSE(kind_of({.verb = Verb::full}).has_value());
  EXPECT_FALSE(kind_of({.verb = Verb::hello, .value = 9, .extra = kProtocolVersion}).has_value());
  EXPECT_FALSE(kind_of({.verb = Verb::hello, .value = 1, .extra = kProtocolVersion + 1}).has_value());
}

TEST(Scoreboard, BothSidesSeeTheSameNumbers) {
  auto master = Scoreboard::create();
  ASSERT_TRUE(master.has_value());
  auto child = Scoreboard::attach(unique_fd(::dup(master->fd())));
  ASSERT_TRUE(child.has_value());
  child->page().sessions.store(7);
  child->page().counters.back().fetch_add(3);
  EXPECT_EQ(master->page().sessions.load(), 7U);
  EXPECT_EQ(master->page().counters.back().load(), 3U);
}

TEST(Scoreboard, AChildCannotShrinkThePage) {
  auto board = Scoreboard::create();
  ASSERT_TRUE(board.has_value());
  EXPECT_NE(::ftruncate(board->fd(), 0), 0);
  EXPECT_EQ(board->page().magic.load(), ScoreboardPage::kMagic);
}

TEST(Scoreboard, AForeignFileIsRefused) {
  unique_fd small(::memfd_create("x", MFD_CLOEXEC));
  EXPECT_FALSE(Scoreboard::attach(std::move(small)).has_value());
  unique_fd zeros(::memfd_create("x", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(zeros.get(), 4096), 0);
  EXPECT_FALSE(Scoreboard::attach(std::move(zeros)).has_value());
}

}  // namespace
}  // namespace stagepost::ipc
