// memcached's protocol: what is sent, and replies in all pieces.
#include "memcache_reply.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps::memcache {
namespace {

using ::testing::HasSubstr;
using Command = ReplyReader::Command;

/// Whole and byte by byte; both must agree.
Result<ReplyReader> read_all(Command command, std::string_view bytes, Limits limits = {}) {
  ReplyReader whole(command, "key", limits);
  Result<bool> complete = whole.feed(bytes);
  ReplyReader pieces(command, "key", limits);
  Result<bool> last = false;
  for (std::size_t i = 0; i < bytes.size() && last; ++i) { last = pieces.feed(bytes.substr(i, 1)); }
  EXPECT_EQ(complete.has_value(), last.has_value());
  if (!complete) { return std::unexpected(complete.error()); }
  EXPECT_EQ(*complete, *last);
  EXPECT_EQ(whole.value(), pieces.value());
  if (!*complete) { return failure("incomplete"); }
  return whole;
}

std::string error_of(Command command, std::string_view bytes, Limits limits = {}) {
  auto reader = read_all(command, bytes, limits);
  return reader ? "" : reader.error().message();
}

TEST(MemcacheReply, ValuesMayHoldLineEnds) {
  auto found = read_all(Command::get, "VALUE key 0 8\r\na\r\nEND\r\n\r\nEND\r\n");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->value(), "a\r\nEND\r\n");
}

TEST(MemcacheReply, NothingAndEmptyAreDifferent) {
  EXPECT_EQ(read_all(Command::get, "END\r\n")->value(), std::nullopt);
  EXPECT_EQ(read_all(Command::get, "VALUE key 4294967295 0\r\n\r\nEND\r\n")->value(), "");
}

TEST(MemcacheReply, LimitsHoldFromBothSides) {
  const Limits limits{.line_bytes = 14, .data_bytes = 3};
  EXPECT_EQ(read_all(Command::get, "VALUE key 00 3\r\nabc\r\nEND\r\n", limits)->value(), "abc");
  EXPECT_THAT(error_of(Command::get, "VALUE key 00 4\r\nabcd\r\nEND\r\n", limits), HasSubstr("more than 3"));
  EXPECT_THAT(error_of(Command::get, "VALUE key 000 3\r\nabc\r\nEND\r\n", limits), HasSubstr("longer than 14"));
  EXPECT_THAT(error_of(Command::get, "VALUE key 0 99999999999999999999\r\n"), HasSubstr("unexpected reply"));
}

TEST(MemcacheReply, WhatWasNotAskedForIsAnError) {
  for (const char* bytes :
       {"VALUE other 0 1\r\na\r\nEND\r\n", "VALUE key 0 1\r\na\r\nVALUE key 0 1\r\na\r\nEND\r\n", "STORED\r\n", "END\n",
        "VALUE key 0 1\r\nab\r\nEND\r\n", "VALUE key 0 -1\r\n", "VALUE key 0 1 7\r\n", "END\r\nEND\r\n", "\r\n"}) {
    EXPECT_NE(error_of(Command::get, bytes), "") << bytes;
    EXPECT_NE(error_of(Command::get, bytes), "incomplete") << bytes;
  }
}

TEST(MemcacheReply, ErrorsOfTheServerAreToldWithoutControlCharacters) {
  EXPECT_THAT(error_of(Command::get, "SERVER_ERROR out of\x01memory\r\n"), HasSubstr("SERVER_ERROR out of?memory"));
  EXPECT_THAT(error_of(Command::set, "CLIENT_ERROR bad data chunk\r\n"), HasSubstr("bad data chunk"));
  EXPECT_THAT(error_of(Command::erase, "ERROR\r\n"), HasSubstr("ERROR"));
}

TEST(MemcacheReply, ChangesAreConfirmed) {
  EXPECT_TRUE(read_all(Command::set, "STORED\r\n"));
  EXPECT_NE(error_of(Command::set, "NOT_STORED\r\n"), "");
  EXPECT_TRUE(read_all(Command::erase, "DELETED\r\n")->erased());
  EXPECT_FALSE(read_all(Command::erase, "NOT_FOUND\r\n")->erased());
}

TEST(MemcacheCommand, KeysThatCouldBeMoreThanAKeyAreNoKeys) {
  EXPECT_TRUE(is_valid_key(std::string(250, 'k')));
  EXPECT_FALSE(is_valid_key(std::string(251, 'k')));
  EXPECT_FALSE(is_valid_key(""));
  EXPECT_TRUE(is_valid_key("\xc3\xa4!\"'%"));
  using namespace std::string_view_literals;
  for (const std::string_view key : {"a b"sv, "a\r\nset x 0 0 1\r\n1"sv, "a\0b"sv, "a\tb"sv, "a\x7f"sv}) {
    EXPECT_FALSE(is_valid_key(key)) << key;
  }
  EXPECT_EQ(set_command("k", 5, 60, "a\r\nb"), "set k 5 60 4\r\na\r\nb\r\n");
  EXPECT_EQ(get_command("k"), "get k\r\n");
  EXPECT_EQ(delete_command("k"), "delete k\r\n");
}

}  // namespace
}  // namespace stagepost::maps::memcache
