// The bytes of journal segments and completion logs (docs/journal.md). Pure: encodes into memory, reads from memory.
// What a reader gets may be torn, stale, damaged or hostile; it believes only what salt and checksum confirm.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "queue/directory.hpp"
#include "queue/instance.hpp"

namespace stagepost::queue::journal {

/// Unit in which pages are written; the header takes one, each group of records begins on one.
inline constexpr std::size_t kPageOctets = 4096;
inline constexpr std::size_t kRecordAlignment = 8;
inline constexpr std::size_t kRecordHeaderOctets = 64;
inline constexpr std::size_t kIdOctetsLimit = 96;
/// Messages above this go by a sync of their own file.
inline constexpr std::size_t kContentOctetsLimit = 1U << 20U;
inline constexpr std::size_t kSegmentOctetsLimit = 16U << 20U;

using BootId = std::array<unsigned char, 16>;  ///< All zero: not known.

struct SegmentHeader {
  std::uint64_t salt = 0;
  std::uint64_t generation = 0;
  std::uint64_t segment_octets = 0;
  BootId boot_id{};
  bool operator==(const SegmentHeader&) const = default;
};
enum class HeaderError { truncated, not_a_segment, other_version, bad_checksum, bad_size };
[[nodiscard]] std::string_view describe(HeaderError error);

/// kPageOctets bytes.
[[nodiscard]] std::string encode_header(const SegmentHeader& header);
/// `bytes` is the beginning of the file.
[[nodiscard]] std::expected<SegmentHeader, HeaderError> parse_header(std::string_view bytes);

/// Where a recovered message belongs.
enum class Place : std::uint32_t { incoming = 0, hold = 1 };

struct Record {
  Instance instance;
  Place place = Place::incoming;
  std::uint64_t number = 0;
  std::string_view content;  ///< Into the reader's bytes.
};

/// Header of a record and queue ID; the content in one or two parts follows it in the file. False precondition (ID
/// or content beyond their limits) is asserted.
[[nodiscard]] std::string encode_record_head(std::uint64_t salt, std::uint64_t number, const Instance& instance,
                                             Place place, std::string_view content, std::string_view more_content = {});
/// Octets of a record in the file, padding included.
[[nodiscard]] std::size_t record_octets(std::size_t id_octets, std::size_t content_octets);
/// `offset` rounded up to a page.
[[nodiscard]] constexpr std::uint64_t next_page(std::uint64_t offset) {
  return (offset + kPageOctets - 1) / kPageOctets * kPageOctets;
}

/// Walks over the records of one segment.
class SegmentReader {
 public:
  /// `bytes`: the file from its beginning, as far as it could be read; `header` from parse_header.
  SegmentReader(std::string_view bytes, const SegmentHeader& header);

  /// The next valid record, or nullopt at the end.
  [[nodiscard]] std::optional<Record> next();
  /// Places where a record of this use of the segment begins but is not valid, and numbers that are missing, with a
  /// valid record behind them: damage. Counts what next() has come across.
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }
  /// After the last record: a record began that is not whole. Normal after a power cut.
  [[nodiscard]] bool torn_tail() const { return torn_; }

 private:
  [[nodiscard]] std::uint64_t next_magic() const;

  std::string_view bytes_;
  SegmentHeader header_;
  std::uint64_t offset_ = kPageOctets;
  std::uint64_t expected_ = 1;
  std::uint64_t damaged_ = 0;
  bool torn_ = false;
};

enum class CompletionKind : unsigned char {
  removed = 1,  ///< Nothing is owed any more; a file that is left may go.
  settled = 2,  ///< The file is on stable storage by itself, perhaps under another name.
};
struct Completion {
  CompletionKind kind = CompletionKind::removed;
  Instance instance;
};
inline constexpr std::size_t kCompletionOctets = 128;
/// An ID longer than kIdOctetsLimit cannot be in a segment; nothing is appended then.
void append_completion(std::string& out, const Completion& completion);
/// One slot of kCompletionOctets; nullopt if it is not valid.
[[nodiscard]] std::optional<Completion> parse_completion(std::string_view slot);

}  // namespace stagepost::queue::journal
