// See tcp_protocol.hpp.
#include "maps/tcp_protocol.hpp"

#include <algorithm>
#include <optional>

#include "base/text.hpp"

namespace stagepost::maps {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

std::optional<unsigned> hex_value(char c) {
  if (c >= '0' && c <= '9') { return static_cast<unsigned>(c - '0'); }
  if (c >= 'a' && c <= 'f') { return static_cast<unsigned>(c - 'a') + 10U; }
  if (c >= 'A' && c <= 'F') { return static_cast<unsigned>(c - 'A') + 10U; }
  return std::nullopt;
}

/// Nullopt: '%' without two hexadecimal digits.
std::optional<std::string> unquote(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) { return std::nullopt; }
    const auto high = hex_value(text[i + 1]);
    const auto low = hex_value(text[i + 2]);
    if (!high || !low) { return std::nullopt; }
    result.push_back(static_cast<char>(static_cast<unsigned char>(*high * 16U + *low)));
    i += 2;
  }
  return result;
}

}  // namespace

std::string tcp_request(std::string_view key) {
  std::string request = "get ";
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '%') {
      request.push_back(c);
    } else {
      request.append(1, '%').append(1, kHexDigits[byte / 16U]).append(1, kHexDigits[byte % 16U]);
    }
  }
  request.push_back('\n');
  return request;
}

Result<TcpReply> parse_tcp_reply(std::string_view line) {
  // Three digits and one white space; any more of it belongs to the text.
  const bool has_code = line.size() > 3 && std::ranges::all_of(line.substr(0, 3), text::is_digit) &&
                        text::is_space(line[3]) && !line.contains('\0');
  const auto decoded = has_code ? unquote(line.substr(4)) : std::nullopt;
  // A value with NUL would be cut there by whoever keeps it as a C string.
  if (!decoded || decoded->contains('\0')) { return failure("malformed reply"); }
  const std::string_view code = line.substr(0, 3);
  TcpReply reply;
  reply.text = *decoded;
  if (code == "200") {
    reply.status = TcpReply::Status::found;
  } else if (code == "500") {
    reply.status = TcpReply::Status::not_found;
  } else if (code != "400") {
    return failure("bad status code");
  }
  return reply;
}

}  // namespace stagepost::maps
