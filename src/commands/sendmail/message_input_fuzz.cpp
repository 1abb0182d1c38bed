// Standard input of sendmail: the same records however the bytes arrive.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "commands/sendmail/message_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using stagepost::sendmail::MessageInput;
  if (size < 2) { return 0; }
  const MessageInput::Settings settings{
      .dot_is_data = (data[0] & 1) != 0, .extract_recipients = (data[0] & 2) != 0, .line_length_limit = 16};
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const std::size_t step = 1U + data[1] % 32U;
  std::string whole;
  MessageInput at_once(settings);
  at_once.feed(bytes, whole);
  at_once.finish(whole);
  std::string pieces;
  MessageInput piecewise(settings);
  for (std::size_t i = 0; i < bytes.size() && !piecewise.ended(); i += step) {
    piecewise.feed(bytes.substr(i, step), pieces);
  }
  piecewise.finish(pieces);
  if (whole != pieces || at_once.header_recipients() != piecewise.header_recipients()) { std::abort(); }
  return 0;
}
