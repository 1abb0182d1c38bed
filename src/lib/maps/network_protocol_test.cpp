// The pure halves of the table types that ask a server: tcp_protocol.hpp and socketmap_protocol.hpp.
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "maps/socketmap_protocol.hpp"
#include "maps/tcp_protocol.hpp"

namespace stagepost::maps {
namespace {

using namespace std::string_literals;

TEST(TcpRequest, QuotesWhatIsNotPrintable) {
  EXPECT_EQ(tcp_request("user@example.com"), "get user@example.com\n");
  EXPECT_EQ(tcp_request("a b%c\td\n"), "get a%20b%25c%09d%0A\n");
  EXPECT_EQ(tcp_request("\xc3\xbc\0\x7f"s + "x"), "get %C3%BC%00%7Fx\n");
  EXPECT_EQ(tcp_request(""), "get \n");
}

std::string shown(const Result<TcpReply>& reply) {
  if (!reply) { return "!" + reply.error().context; }
  const char* status = reply->status == TcpReply::Status::found       ? "found"
                       : reply->status == TcpReply::Status::not_found ? "not_found"
                                                                      : "temporary";
  return status + (":" + reply->text);
}

TEST(TcpReply, AreThreeDigitsAndText) {
  EXPECT_EQ(shown(parse_tcp_reply("200 value")), "found:value");
  EXPECT_EQ(shown(parse_tcp_reply("200 a%20b%41%0a%c3%a9")), "found:a bA\n\xc3\xa9");
  EXPECT_EQ(shown(parse_tcp_reply("200 a b ")), "found:a b ");
  EXPECT_EQ(shown(parse_tcp_reply("200\tv")), "found:v");
  EXPECT_EQ(shown(parse_tcp_reply("200   v")), "found:  v");
  EXPECT_EQ(shown(parse_tcp_reply("200 ")), "found:");
  EXPECT_EQ(shown(parse_tcp_reply("400 later")), "temporary:later");
  EXPECT_EQ(shown(parse_tcp_reply("500 no")), "not_found:no");
}

TEST(TcpReply, AnythingElseIsAnErrorAndNeverNotFound) {
  for (const std::string_view line : {"", "2", "200", "500", "400", "hello", " 200 v", "+200 v", "0200 v", "2000 v",
                                      "200v", "20 v", "200 %", "200 %4", "200 %zz", "500 %zz", "200 a%00b"}) {
    EXPECT_EQ(shown(parse_tcp_reply(line)), "!malformed reply") << line;
  }
  EXPECT_EQ(shown(parse_tcp_reply("200 a\0b"s)), "!malformed reply");
  EXPECT_EQ(shown(parse_tcp_reply("300 x")), "!bad status code");
  EXPECT_EQ(shown(parse_tcp_reply("000 x")), "!bad status code");
}

TEST(SocketmapRequest, IsANetstring) {
  EXPECT_EQ(socketmap_request("map", "a b"), "7:map a b,");
  EXPECT_EQ(socketmap_request("", ""), "1: ,");
}

/// "?": more is needed; "!": why not; else the payload and what is left.
std::string netstring(std::string_view bytes, std::size_t limit_bytes = 10) {
  const auto parsed = parse_netstring(bytes, limit_bytes);
  if (!parsed) { return "!" + parsed.error().context; }
  if (!*parsed) { return "?"; }
  return std::string((*parsed)->payload) + "|" + std::string(bytes.substr((*parsed)->size_bytes));
}

TEST(Netstring, IsLengthPayloadComma) {
  EXPECT_EQ(netstring("4:OK v,"), "OK v|");
  EXPECT_EQ(netstring("4:OK v,rest"), "OK v|rest");
  EXPECT_EQ(netstring("0:,"), "|");
  EXPECT_EQ(netstring("004:OK v,"), "OK v|");
  EXPECT_EQ(netstring("3:,,,,"), ",,,|");
}

TEST(Netstring, NeedsMoreUntilItIsWhole) {
  const std::string_view whole = "10:0123456789,";
  for (std::size_t size = 0; size < whole.size(); ++size) { EXPECT_EQ(netstring(whole.substr(0, size)), "?") << size; }
  EXPECT_EQ(netstring(whole), "0123456789|");
}

TEST(Netstring, RefusesBadFormatAndSizeAtOnce) {
  for (const std::string_view bytes : {":", "x", "-", " 4:", "4;", "4 :OK v,", "4:OK v;", "4:OK v\n"}) {
    EXPECT_EQ(netstring(bytes), "!input format error") << bytes;
  }
  EXPECT_EQ(netstring("11"), "!input exceeds size limit");
  EXPECT_EQ(netstring("99999999999999999999999999999"), "!input exceeds size limit");
  EXPECT_EQ(netstring(std::string(100, '0')), "!input exceeds size limit");
}

std::string shown(const Result<SocketmapReply>& reply) {
  if (!reply) { return "!" + reply.error().context; }
  static constexpr std::string_view kNames[] = {"ok", "not_found", "temporary", "timeout", "permanent"};
  return std::string(kNames[static_cast<std::size_t>(reply->status)]) + (reply->has_text ? ":" : "") + reply->text;
}

TEST(SocketmapReply, AreAWordAndText) {
  EXPECT_EQ(shown(parse_socketmap_reply("OK value")), "ok:value");
  EXPECT_EQ(shown(parse_socketmap_reply("OK  a b ")), "ok: a b ");
  EXPECT_EQ(shown(parse_socketmap_reply("OK ")), "ok:");
  EXPECT_EQ(shown(parse_socketmap_reply("OK")), "ok");
  EXPECT_EQ(shown(parse_socketmap_reply("NOTFOUND ")), "not_found:");
  EXPECT_EQ(shown(parse_socketmap_reply("NOTFOUND")), "not_found");
  EXPECT_EQ(shown(parse_socketmap_reply("TEMP why")), "temporary:why");
  EXPECT_EQ(shown(parse_socketmap_reply("TIMEOUT why")), "timeout:why");
  EXPECT_EQ(shown(parse_socketmap_reply("PERM")), "permanent");
}

TEST(SocketmapReply, AnythingElseIsAnErrorAndNeverNotFound) {
  EXPECT_EQ(shown(parse_socketmap_reply("")), "!socketmap server unknown error");
  EXPECT_EQ(shown(parse_socketmap_reply("ok v")), "!socketmap server unknown error: v");
  EXPECT_EQ(shown(parse_socketmap_reply("NOTFOUNDx")), "!socketmap server unknown error");
  EXPECT_EQ(shown(parse_socketmap_reply(" OK v")), "!socketmap server unknown error: OK v");
  EXPECT_EQ(shown(parse_socketmap_reply("OK a\0b"s)), "!socketmap server unknown error: a?b");
}

}  // namespace
}  // namespace stagepost::maps
