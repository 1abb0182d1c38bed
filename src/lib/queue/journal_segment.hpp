// One segment file of the journal: made full size and zero-filled before its first use, appended to, synced, emptied,
// removed. Also what lies in the journal's directory: names and locks. Knows no policy (journal.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "queue/journal_format.hpp"

namespace stagepost::queue::journal {

inline constexpr std::string_view kSegmentPrefix = "segment.";
inline constexpr std::string_view kNewPrefix = "new.";
inline constexpr std::string_view kCompletedPrefix = "completed.";
inline constexpr std::string_view kDamagedPrefix = "damaged.";

/// Identity of the running kernel, for SegmentHeader. All zero where /proc is not to be seen (call before chroot).
[[nodiscard]] BootId read_boot_id();

/// A file PREFIX.PID.N that did not exist, mode 0600, opened with `flags` besides O_CREAT and locked exclusively: as
/// long as the descriptor is open, others know that its owner lives.
struct OwnedFile {
  unique_fd fd;
  std::string name;  ///< Without the directory.
};
[[nodiscard]] Result<OwnedFile> create_owned(const std::string& directory, std::string_view prefix, int flags);

/// Which use of which segment: what a completion log may be needed for.
struct SegmentUse {
  std::string name;
  std::uint64_t salt = 0;  ///< 0: the header could not be read.
  auto operator<=>(const SegmentUse&) const = default;
};
/// The segments as they are on the disk: each is synced before its header is read, and the directory at the end.
[[nodiscard]] Result<std::vector<SegmentUse>> durable_segments(const std::string& directory);
/// True if the directory holds a segment. A directory that cannot be read counts as one that does.
[[nodiscard]] bool has_segments(const std::string& directory);

class SegmentFile {
 public:
  /// Blocks for the time it takes to store `octets` zeros. Errors: the disk's (ENOSPC, EROFS, ...); nothing is left.
  [[nodiscard]] static Result<SegmentFile> create(const std::string& directory, std::uint64_t octets,
                                                  const BootId& boot_id);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint64_t octets() const { return header_.segment_octets; }
  [[nodiscard]] std::uint64_t salt() const { return header_.salt; }
  /// Octets from the beginning that are taken.
  [[nodiscard]] std::uint64_t used() const { return offset_; }
  [[nodiscard]] bool empty() const { return records_ == 0; }
  [[nodiscard]] bool fits(std::size_t id_octets, std::size_t content_octets) const;

  /// One pwritev. After an error the segment must not be appended to any more.
  [[nodiscard]] Result<> append(const Instance& instance, Place place, std::string_view content,
                                std::string_view more_content);
  /// The next record begins on a page of its own. Call when a sync begins.
  void begin_group() { offset_ = next_page(offset_); }

  /// Forgets all records, on the disk too. Blocks.
  [[nodiscard]] Result<> reset();
  /// reset(), then removes the file. Blocks.
  [[nodiscard]] Result<> remove();

 private:
  SegmentFile(std::string directory, OwnedFile file, SegmentHeader header);

  std::string directory_;
  std::string name_;
  unique_fd fd_;
  SegmentHeader header_;
  std::uint64_t offset_ = kPageOctets;
  std::uint64_t records_ = 0;
};

}  // namespace stagepost::queue::journal
