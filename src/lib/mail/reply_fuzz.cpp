// Server replies and EHLO: bounded, and what comes out holds no control bytes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "mail/ehlo.hpp"
#include "mail/reply.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  using namespace stagepost::smtp;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  ReplyParser parser({.text_octets = 200, .lines = 20});
  for (const std::string_view line : text::split_exact(input, '\n')) {
    const auto state = parser.feed(line);
    SP_ASSERT(parser.reply().text.size() <= 201);
    SP_ASSERT(parser.reply().text.find('\r') == std::string::npos);
    if (state == ReplyParser::State::more) { continue; }
    const auto capabilities = parse_ehlo(parser.reply(), {"DSN"});
    SP_ASSERT(!capabilities.has(Feature::dsn));
    if (state == ReplyParser::State::complete) { SP_ASSERT(dsn::is_code(to_status(parser.reply()).code)); }
    parser.reset();
  }
  if (const auto reply = parse_reply_text(input); reply) {
    const std::string wire = format_reply(*reply);
    SP_ASSERT(wire.ends_with("\r\n"));
    ReplyParser again;
    auto state = ReplyParser::State::more;
    for (const std::string_view line : text::split_exact(std::string_view(wire).substr(0, wire.size() - 2), '\n')) {
      SP_ASSERT(state == ReplyParser::State::more);
      state = again.feed(line);
    }
    SP_ASSERT(state == ReplyParser::State::complete || state == ReplyParser::State::too_long);
    SP_ASSERT(again.reply().code == reply->code);
  }
  return 0;
}
