#include "queue/journal_format.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <zlib.h>

#include "base/assert.hpp"

namespace stagepost::queue::journal {
namespace {

constexpr std::string_view kSegmentMagic = "SPJRNL1\n";
constexpr std::string_view kRecordMagic = "SPR1";
constexpr std::string_view kCompletionMagic = "SPC1";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderChecked = 16;  // From here to the end of the page.
constexpr std::size_t kRecordChecked = 8;
constexpr std::size_t kCompletionChecked = 8;
constexpr std::size_t kCompletionId = 32;

template <class T>
void put(std::string& out, std::size_t offset, T value) {
  static_assert(std::endian::native == std::endian::little, "add a byte swap for this machine");
  std::memcpy(out.data() + offset, &value, sizeof value);
}

template <class T>
T get(std::string_view bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::uint32_t checksum(std::string_view bytes, std::uint32_t before = 0) {
  if (bytes.empty()) { return before; }  // zlib takes a null pointer as the wish to begin anew
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

constexpr std::size_t aligned(std::size_t octets) {
  return (octets + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

bool valid_arrival(std::int64_t seconds, std::int32_t microseconds) {
  return seconds >= 0 && microseconds >= 0 && microseconds < 1'000'000;
}

}  // namespace

std::string_view describe(HeaderError error) {
  switch (error) {
    case HeaderError::truncated:
      return "shorter than its header";
    case HeaderError::not_a_segment:
      return "not a journal segment";
    case HeaderError::other_version:
      return "written by another release";
    case HeaderError::bad_checksum:
      return "header has a wrong checksum";
    case HeaderError::bad_size:
      return "header has a size that is not possible";
  }
  return "damaged";
}

std::string encode_header(const SegmentHeader& header) {
  std::string out(kPageOctets, '\0');
  out.replace(0, kSegmentMagic.size(), kSegmentMagic);
  put(out, 8, kVersion);
  put(out, 16, header.salt);
  put(out, 24, header.generation);
  put(out, 32, header.segment_octets);
  std::memcpy(out.data() + 40, header.boot_id.data(), header.boot_id.size());
  put(out, 12, checksum(std::string_view(out).substr(kHeaderChecked)));
  return out;
}

std::expected<SegmentHeader, HeaderError> parse_header(std::string_view bytes) {
  if (bytes.size() < kPageOctets) { return std::unexpected(HeaderError::truncated); }
  bytes = bytes.substr(0, kPageOctets);
  if (!bytes.starts_with(kSegmentMagic)) { return std::unexpected(HeaderError::not_a_segment); }
  if (get<std::uint32_t>(bytes, 8) != kVersion) { return std::unexpected(HeaderError::other_version); }
  if (get<std::uint32_t>(bytes, 12) != checksum(bytes.substr(kHeaderChecked))) {
    return std::unexpected(HeaderError::bad_checksum);
  }
  SegmentHeader header;
  header.salt = get<std::uint64_t>(bytes, 16);
  header.generation = get<std::uint64_t>(bytes, 24);
  header.segment_octets = get<std::uint64_t>(bytes, 32);
  std::memcpy(header.boot_id.data(), bytes.data() + 40, header.boot_id.size());
  if (header.segment_octets < 2 * kPageOctets || header.segment_octets > kSegmentOctetsLimit) {
    return std::unexpected(HeaderError::bad_size);
  }
  return header;
}

std::size_t record_octets(std::size_t id_octets, std::size_t content_octets) {
  return aligned(kRecordHeaderOctets + id_octets + content_octets);
}

std::string encode_record_head(std::uint64_t salt, std::uint64_t number, const Instance& instance, Place place,
                               std::string_view content, std::string_view more_content) {
  const std::string& id = instance.id.str();
  SP_ASSERT(id.size() <= kIdOctetsLimit && content.size() + more_content.size() <= kContentOctetsLimit);
  std::string out(kRecordHeaderOctets, '\0');
  out.replace(0, kRecordMagic.size(), kRecordMagic);
  put(out, 8, salt);
  put(out, 16, number);
  put(out, 24, static_cast<std::uint32_t>(id.size()));
  put(out, 28, static_cast<std::uint32_t>(place));
  put(out, 32, static_cast<std::uint64_t>(content.size() + more_content.size()));
  put(out, 40, instance.arrival.seconds);
  put(out, 48, instance.create_time);
  put(out, 56, instance.arrival.microseconds);
  out += id;
  put(out, 4, checksum(more_content, checksum(content, checksum(std::string_view(out).substr(kRecordChecked)))));
  return out;
}

SegmentReader::SegmentReader(std::string_view bytes, const SegmentHeader& header)
    : bytes_(bytes.substr(0, std::min<std::size_t>(bytes.size(), header.segment_octets))), header_(header) {}

/// From offset_ on, where a record may be. A segment is mostly zeros: those are passed as fast as memory is read.
std::uint64_t SegmentReader::next_magic() const {
  std::size_t at = bytes_.find(kRecordMagic, offset_);
  while (at != std::string_view::npos && at % kRecordAlignment != 0) { at = bytes_.find(kRecordMagic, aligned(at)); }
  return at == std::string_view::npos ? bytes_.size() : at;
}

std::optional<Record> SegmentReader::next() {
  // Invalid records met since the last valid one: damage only if a valid one follows.
  std::uint64_t invalid = 0;
  for (;; offset_ += kRecordAlignment) {
    offset_ = next_magic();
    if (offset_ + kRecordHeaderOctets > bytes_.size()) { break; }
    const std::string_view rest = bytes_.substr(offset_);
    if (get<std::uint64_t>(rest, 8) != header_.salt) { continue; }
    const auto number = get<std::uint64_t>(rest, 16);
    const auto id_octets = get<std::uint32_t>(rest, 24);
    const auto place = get<std::uint32_t>(rest, 28);
    const auto content_octets = get<std::uint64_t>(rest, 32);
    if (id_octets > kIdOctetsLimit || content_octets > kContentOctetsLimit ||
        rest.size() - kRecordHeaderOctets < id_octets + content_octets) {
      ++invalid;
      continue;
    }
    const std::size_t whole = kRecordHeaderOctets + id_octets + static_cast<std::size_t>(content_octets);
    if (get<std::uint32_t>(rest, 4) != checksum(rest.substr(kRecordChecked, whole - kRecordChecked))) {
      ++invalid;
      continue;
    }
    const ArrivalTime arrival{get<std::int64_t>(rest, 40), get<std::int32_t>(rest, 56)};
    const auto id = QueueId::parse(rest.substr(kRecordHeaderOctets, id_octets));
    if (!id || place > static_cast<std::uint32_t>(Place::hold) || number < expected_ ||
        !valid_arrival(arrival.seconds, arrival.microseconds)) {
      ++invalid;
      continue;
    }
    damaged_ += std::max(invalid, number - expected_);
    expected_ = number + 1;
    offset_ += aligned(whole);
    return Record{.instance = {*id, arrival, get<std::int64_t>(rest, 48)},
                  .place = static_cast<Place>(place),
                  .number = number,
                  .content = rest.substr(kRecordHeaderOctets + id_octets, static_cast<std::size_t>(content_octets))};
  }
  torn_ = torn_ || invalid > 0;
  return std::nullopt;
}

void append_completion(std::string& out, const Completion& completion) {
  const std::string& id = completion.instance.id.str();
  if (id.size() > kIdOctetsLimit) { return; }
  std::string slot(kCompletionOctets, '\0');
  slot.replace(0, kCompletionMagic.size(), kCompletionMagic);
  slot[8] = static_cast<char>(completion.kind);
  slot[9] = static_cast<char>(id.size());
  put(slot, 12, completion.instance.arrival.microseconds);
  put(slot, 16, completion.instance.arrival.seconds);
  put(slot, 24, completion.instance.create_time);
  slot.replace(kCompletionId, id.size(), id);
  put(slot, 4, checksum(std::string_view(slot).substr(kCompletionChecked)));
  out += slot;
}

std::optional<Completion> parse_completion(std::string_view slot) {
  if (slot.size() != kCompletionOctets || !slot.starts_with(kCompletionMagic)) { return std::nullopt; }
  if (get<std::uint32_t>(slot, 4) != checksum(slot.substr(kCompletionChecked))) { return std::nullopt; }
  const auto kind = static_cast<unsigned char>(slot[8]);
  const auto id_octets = static_cast<unsigned char>(slot[9]);
  if ((kind != 1 && kind != 2) || id_octets > kIdOctetsLimit) { return std::nullopt; }
  const auto id = QueueId::parse(slot.substr(kCompletionId, id_octets));
  const ArrivalTime arrival{get<std::int64_t>(slot, 16), get<std::int32_t>(slot, 12)};
  if (!id || !valid_arrival(arrival.seconds, arrival.microseconds)) { return std::nullopt; }
  return Completion{static_cast<CompletionKind>(kind), {*id, arrival, get<std::int64_t>(slot, 24)}};
}

}  // namespace stagepost::queue::journal
