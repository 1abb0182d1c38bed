// Any bytes as a DNS reply: either refused as a whole or parsed within the limits.
#include <cstdlib>

#include "dns/message.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace stagepost::dns;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Limits limits{.records = 20, .message_bytes = 4096};
  const auto message = parse_message(bytes, limits);
  if (!message) { return 0; }
  if (size > limits.message_bytes || message->answers.size() > limits.records) { std::abort(); }
  for (const auto& record : message->answers) {
    // A label octet takes at most four characters when escaped.
    if (record.owner.size() > 4 * 255 || (record.type != Type::txt && record.value.size() > 4 * 255)) { std::abort(); }
  }
  (void)canonical_name(*message, message->question_name);
  return 0;
}
