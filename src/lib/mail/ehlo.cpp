// See ehlo.hpp.
#include "mail/ehlo.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"

namespace stagepost::smtp {
namespace {

constexpr std::size_t kWordLimit = 100;

constexpr std::array<std::pair<std::string_view, Feature>, 15> kKeywords{{
    {"PIPELINING", Feature::pipelining},
    {"SIZE", Feature::size},
    {"STARTTLS", Feature::starttls},
    {"8BITMIME", Feature::eight_bit_mime},
    {"ENHANCEDSTATUSCODES", Feature::enhanced_status_codes},
    {"DSN", Feature::dsn},
    {"AUTH", Feature::auth},
    {"SMTPUTF8", Feature::smtputf8},
    {"CHUNKING", Feature::chunking},
    {"XFORWARD", Feature::xforward},
    {"XCLIENT", Feature::xclient},
    {"VRFY", Feature::verify},
    {"ETRN", Feature::etrn},
    {"REQUIRETLS", Feature::requiretls},
    {"ESMTP", Feature::esmtp},
}};

void add_words(const std::vector<std::string_view>& words, std::vector<std::string>& out) {
  for (const std::string_view word : words) {
    const bool known =
        std::ranges::any_of(out, [word](const std::string& other) { return text::iequals(word, other); });
    if (!known && out.size() < kWordLimit) {
      std::string upper(word);
      std::ranges::transform(upper, upper.begin(), text::upper);
      out.push_back(std::move(upper));
    }
  }
}

void parse_keyword_line(std::string_view line, const std::vector<std::string>& discard, Capabilities& out) {
  // "AUTH=LOGIN PLAIN" is the form of old servers.
  std::string_view rest = line;
  const std::size_t end = std::min(line.find_first_of(" \t="), line.size());
  const std::string_view keyword = line.substr(0, end);
  rest.remove_prefix(std::min(end + 1, line.size()));
  if (end < line.size() && line[end] == '=' && !text::iequals(keyword, "AUTH")) { return; }
  if (std::ranges::any_of(discard, [keyword](const std::string& word) { return text::iequals(word, keyword); })) {
    return;
  }
  const auto* const entry =
      std::ranges::find_if(kKeywords, [keyword](const auto& known) { return text::iequals(known.first, keyword); });
  if (entry == kKeywords.end()) { return; }
  out.features |= static_cast<std::uint32_t>(entry->second);
  const auto words = text::split(rest, " \t");
  switch (entry->second) {
    case Feature::size:
      if (!words.empty()) { out.size_limit_bytes = text::parse_unsigned(words.front()).value_or(0); }
      break;
    case Feature::auth:
      add_words(words, out.auth_mechanisms);
      break;
    case Feature::xforward:
      add_words(words, out.xforward);
      break;
    case Feature::xclient:
      add_words(words, out.xclient);
      break;
    default:
      break;
  }
}

}  // namespace

Capabilities parse_ehlo(const ServerReply& reply, const std::vector<std::string>& discard) {
  Capabilities result;
  result.features = static_cast<std::uint32_t>(Feature::esmtp);
  bool first = true;
  for (std::string_view line : text::split_exact(reply.text, '\n')) {
    line.remove_prefix(std::min<std::size_t>(4, line.size()));
    line = text::trim(line);
    if (first) {
      result.server_name = line.substr(0, line.find_first_of(" \t"));
      first = false;
    } else {
      parse_keyword_line(line, discard, result);
    }
  }
  return result;
}

}  // namespace stagepost::smtp
