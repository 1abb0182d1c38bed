#include "queue/record.hpp"

#include <array>
#include <charconv>
#include <climits>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace stagepost::queue {
namespace {

constexpr std::size_t kColumn = 15;

std::string right_aligned(std::int64_t number) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  const auto length = static_cast<std::size_t>(end - digits.data());
  std::string out(length < kColumn ? kColumn - length : 0, ' ');
  out.append(digits.data(), length);
  return out;
}

std::string_view take_number(std::string_view& rest) {
  std::size_t begin = 0;
  while (begin < rest.size() && text::is_space(rest[begin])) { ++begin; }
  std::size_t end = begin;
  while (end < rest.size() && !text::is_space(rest[end])) { ++end; }
  const auto number = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return number;
}

void append_header(std::string& out, RecordType type, std::size_t data_octets) {
  SP_ASSERT(data_octets <= INT_MAX);
  out.push_back(static_cast<char>(type));
  auto length = static_cast<std::uint32_t>(data_octets);
  do {
    const auto group = static_cast<unsigned char>(length & 0x7fU);
    length >>= 7U;
    out.push_back(static_cast<char>(length != 0 ? group | 0x80U : group));
  } while (length != 0);
}

}  // namespace

std::expected<RecordHeader, RecordError> parse_record_header(std::string_view bytes, std::size_t limit) {
  if (bytes.empty()) { return std::unexpected(RecordError::incomplete); }
  std::uint64_t length = 0;
  for (std::size_t i = 1; i < kRecordHeaderMaxBytes; ++i) {
    if (i >= bytes.size()) { return std::unexpected(RecordError::incomplete); }
    const auto group = static_cast<unsigned char>(bytes[i]);
    length |= static_cast<std::uint64_t>(group & 0x7fU) << (7U * (i - 1));
    if ((group & 0x80U) == 0) {
      if (length > limit) { return std::unexpected(RecordError::bad_length); }
      return RecordHeader{static_cast<RecordType>(bytes[0]), i + 1, static_cast<std::size_t>(length)};
    }
  }
  return std::unexpected(RecordError::bad_length);
}

std::expected<ParsedRecord, RecordError> parse_record(std::string_view bytes, std::size_t limit) {
  const auto header = parse_record_header(bytes, limit);
  if (!header) { return std::unexpected(header.error()); }
  if (bytes.size() - header->header_octets < header->data_octets) { return std::unexpected(RecordError::incomplete); }
  return ParsedRecord{{header->type, bytes.substr(header->header_octets, header->data_octets)},
                      header->header_octets + header->data_octets};
}

void append_record(std::string& out, RecordType type, std::string_view data) {
  append_header(out, type, data.size());
  out.append(data);
}

void append_attribute(std::string& out, std::string_view name, std::string_view value) {
  append_header(out, RecordType::attribute, name.size() + 1 + value.size());
  out.append(name).append(1, '=').append(value);
}

void append_padding(std::string& out, std::size_t octets) {
  SP_ASSERT(octets >= 2);
  std::size_t data = octets - 2;
  // A longer length field takes from the data; at the edge two records are needed.
  while (record_octets(data) > octets) { --data; }
  if (record_octets(data) < octets) {
    data -= 2;
    append_padding(out, octets - record_octets(data));
  }
  append_record(out, RecordType::padding, std::string(data, '0'));
}

void append_null_pointer(std::string& out, std::size_t octets) {
  SP_ASSERT(octets >= 3 && octets <= 100);
  append_record(out, RecordType::pointer, std::string(octets - 3, ' ') + '0');
}

std::size_t record_octets(std::size_t data_octets) noexcept {
  std::size_t octets = 2 + data_octets;
  for (std::size_t rest = data_octets >> 7U; rest != 0; rest >>= 7U) { ++octets; }
  return octets;
}

std::string format_size(const SizeRecord& size) {
  std::string out;
  out.reserve(kSizeRecordDataOctets);
  for (const auto number : {size.message_size, size.content_offset, size.recipient_count, size.flags,
                            size.content_length, size.smtputf8_flags}) {
    if (!out.empty()) { out.push_back(' '); }
    out += right_aligned(number);
  }
  return out;
}

std::optional<SizeRecord> parse_size(std::string_view data) {
  std::array<std::int64_t, 6> numbers{};
  std::size_t count = 0;
  while (count < numbers.size()) {
    const auto number_text = take_number(data);
    if (number_text.empty()) { break; }
    const auto number = text::parse_signed(number_text);
    if (!number || *number < 0) { return std::nullopt; }
    numbers.at(count++) = *number;
  }
  if (count == 0) { return std::nullopt; }
  return SizeRecord{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
}

std::string format_pointer(std::int64_t offset) { return right_aligned(offset); }

std::optional<std::int64_t> parse_pointer(std::string_view data) {
  const auto number = text::parse_signed(take_number(data));
  if (!number || *number < 0 || !text::trim(data).empty()) { return std::nullopt; }
  return number;
}

std::string format_time(ArrivalTime time) {
  return std::to_string(time.seconds) + ' ' + std::to_string(time.microseconds);
}

std::optional<ArrivalTime> parse_time(std::string_view data) {
  const auto seconds = text::parse_signed(take_number(data));
  if (!seconds) { return std::nullopt; }
  const auto fraction = take_number(data);
  if (fraction.empty()) { return ArrivalTime{*seconds, 0}; }
  const auto microseconds = text::parse_unsigned(fraction);
  if (!microseconds || *microseconds >= 1'000'000) { return std::nullopt; }
  return ArrivalTime{*seconds, static_cast<std::int32_t>(*microseconds)};
}

std::string format_warn_time(std::int64_t seconds) { return right_aligned(seconds); }

std::optional<std::int64_t> parse_warn_time(std::string_view data) {
  const auto seconds = text::parse_signed(take_number(data));
  return text::trim(data).empty() ? seconds : std::nullopt;
}

std::optional<AttributeView> parse_attribute(std::string_view data) {
  const auto equals = data.find('=');
  if (equals == std::string_view::npos) { return std::nullopt; }
  const auto name = text::trim(data.substr(0, equals));
  if (name.empty()) { return std::nullopt; }
  return AttributeView{name, text::trim(data.substr(equals + 1))};
}

std::string_view record_name(RecordType type) {
  switch (type) {
    case RecordType::size:
      return "message_size";
    case RecordType::time:
      return "message_arrival_time";
    case RecordType::create_time:
      return "queue_file_create_time";
    case RecordType::attribute:
      return "named_attribute";
    case RecordType::full_name:
      return "sender_fullname";
    case RecordType::inspector:
      return "content_inspector";
    case RecordType::filter:
      return "content_filter";
    case RecordType::sender:
      return "sender";
    case RecordType::dsn_ret:
      return "dsn_return_flags";
    case RecordType::dsn_envid:
      return "dsn_envelope_id";
    case RecordType::dsn_notify:
      return "dsn_notify_flags";
    case RecordType::dsn_original_recipient:
      return "dsn_original_recipient";
    case RecordType::original_recipient:
      return "original_recipient";
    case RecordType::recipient:
      return "recipient";
    case RecordType::done_recipient:
      return "done_recipient";
    case RecordType::cancelled_recipient:
      return "canceled_recipient";
    case RecordType::redirect:
      return "redirect_to";
    case RecordType::warn_time:
      return "warning_message_time";
    case RecordType::verp:
      return "verp_delimiters";
    case RecordType::errors_to:
      return "errors_to";
    case RecordType::return_receipt:
      return "return_receipt";
    case RecordType::priority:
      return "priority";
    case RecordType::flags:
      return "flags";
    case RecordType::killed:
      return "killed_record";
    case RecordType::padding:
      return "padding";
    case RecordType::pointer:
      return "pointer_record";
    case RecordType::line:
      return "regular_text";
    case RecordType::content_start:
      return "message_content";
    case RecordType::extracted_start:
      return "extracted_info";
    case RecordType::end:
      return "end_of_message";
  }
  return "unknown_record_type";
}

}  // namespace stagepost::queue
