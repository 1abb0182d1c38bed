#include "queue/queue_id.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace stagepost::queue {
namespace {

constexpr std::string_view kAlphabet = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
constexpr unsigned kBase = 52;
constexpr unsigned kInodeBase = 51;  // Without 'z', which separates.
constexpr std::size_t kSecondsDigits = 6;
constexpr std::size_t kMicrosecondsDigits = 4;
constexpr std::size_t kShortMicrosecondsDigits = 5;
static_assert(kAlphabet.size() == kBase);

std::string encode(std::uint64_t number, unsigned base, std::size_t digits) {
  std::string out;
  do {
    out.push_back(kAlphabet[number % base]);
    number /= base;
  } while (number != 0);
  while (out.size() < digits) { out.push_back('0'); }
  std::ranges::reverse(out);
  return out;
}

std::optional<std::uint64_t> decode(std::string_view text, unsigned base) {
  if (text.empty()) { return std::nullopt; }
  std::uint64_t number = 0;
  for (const char c : text) {
    const auto digit = kAlphabet.find(c);
    if (digit >= base || number > (UINT64_MAX - digit) / base) { return std::nullopt; }
    number = number * base + digit;
  }
  return number;
}

std::string hexadecimal(std::uint64_t number, std::size_t digits) {
  std::array<char, 16> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, 16).ptr;
  std::string out(buffer.data(), end);
  out.insert(0, out.size() < digits ? digits - out.size() : 0, '0');
  std::ranges::transform(out, out.begin(), text::upper);
  return out;
}

std::optional<std::uint64_t> parse_hexadecimal(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc{} || end != text.data() + text.size()) { return std::nullopt; }
  return number;
}

// Where the 'z' of a long name is.
std::optional<std::size_t> separator(std::string_view name) {
  const auto place = name.rfind('z');
  if (place == std::string_view::npos || place < kSecondsDigits + kMicrosecondsDigits) { return std::nullopt; }
  return place;
}

std::string_view microseconds_of_long(std::string_view name, std::size_t z) {
  return name.substr(z - kMicrosecondsDigits, kMicrosecondsDigits);
}

}  // namespace

std::optional<QueueId> QueueId::parse(std::string_view text) {
  const auto allowed = [](char c) { return text::is_alnum(c) || c == '_'; };
  if (text.empty() || text.size() > kMaxOctets || !std::ranges::all_of(text, allowed)) { return std::nullopt; }
  return QueueId(std::string(text));
}

QueueId QueueId::make_short(std::uint32_t microseconds, ino_t inode) {
  SP_ASSERT(microseconds < 1'000'000);
  return QueueId(hexadecimal(microseconds, kShortMicrosecondsDigits) + hexadecimal(inode, 1));
}

QueueId QueueId::make_long(std::int64_t seconds, std::uint32_t microseconds, ino_t inode) {
  SP_ASSERT(microseconds < 1'000'000 && seconds >= 0);
  return QueueId(encode(static_cast<std::uint64_t>(seconds), kBase, kSecondsDigits) +
                 encode(microseconds, kBase, kMicrosecondsDigits) + 'z' + encode(inode, kInodeBase, 1));
}

bool QueueId::is_long() const { return separator(text_).has_value(); }

std::optional<ino_t> QueueId::inode() const {
  if (const auto z = separator(text_)) { return decode(std::string_view(text_).substr(*z + 1), kInodeBase); }
  if (text_.size() <= kShortMicrosecondsDigits) { return std::nullopt; }
  return parse_hexadecimal(std::string_view(text_).substr(kShortMicrosecondsDigits));
}

std::optional<QueueId> QueueId::to_short(ino_t inode) const {
  if (const auto z = separator(text_)) {
    const auto microseconds = decode(microseconds_of_long(text_, *z), kBase);
    if (!microseconds) { return std::nullopt; }
    return QueueId(hexadecimal(*microseconds, kShortMicrosecondsDigits) + hexadecimal(inode, 1));
  }
  if (text_.size() < kShortMicrosecondsDigits) { return std::nullopt; }
  return QueueId(text_.substr(0, kShortMicrosecondsDigits) + hexadecimal(inode, 1));
}

std::optional<QueueId> QueueId::with_inode(ino_t inode) const {
  const auto z = separator(text_);
  if (!z) { return std::nullopt; }
  return QueueId(text_.substr(0, *z + 1) + encode(inode, kInodeBase, 1));
}

std::string QueueId::hash_text() const {
  if (const auto z = separator(text_)) {
    return hexadecimal(decode(microseconds_of_long(text_, *z), kBase).value_or(0), kShortMicrosecondsDigits);
  }
  return text_;
}

}  // namespace stagepost::queue
