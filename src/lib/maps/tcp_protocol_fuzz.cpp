// Any reply line of a tcp: server, and any key asked of one.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "maps/tcp_protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  using namespace stagepost::maps;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  const auto reply = parse_tcp_reply(bytes);
  if (reply) {
    SP_ASSERT(reply->text.size() + 4 <= bytes.size() && !reply->text.contains('\0'));
    // Only what says so is "not found".
    SP_ASSERT((reply->status == TcpReply::Status::not_found) == bytes.starts_with("500"));
  }

  // A key cannot end its line or break into two words, and a server that decodes it gets it back.
  const std::string request = tcp_request(bytes);
  SP_ASSERT(request.starts_with("get ") && request.ends_with("\n"));
  const std::string_view quoted = std::string_view(request).substr(4, request.size() - 5);
  for (const char c : quoted) { SP_ASSERT(text::is_printable(c) && c != ' '); }
  if (!bytes.contains('\0')) {
    const auto echoed = parse_tcp_reply("200 " + std::string(quoted));
    SP_ASSERT(echoed && echoed->text == bytes);
  }
  return 0;
}
