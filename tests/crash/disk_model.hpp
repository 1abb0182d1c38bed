// What may be on a disk after a power cut, given the log of a run (tests/support/disk_trace.py). Knows files, names,
// writes and syncs, nothing of mail.
//
// The rules are those that ext4 and XFS share, and harsher where they differ: operations on names and modes reach the
// disk in their order, up to some point; a sync of a file or directory brings at least what was done to it, and all
// before that. Data of different files, and different sectors of one file, reach the disk independently: each sector
// has what was synced and then any number of the later writes. A file may or may not have grown; what is not written is
// zeros.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"

namespace stagepost::crash {

/// Sectors are written whole.
inline constexpr std::size_t kSectorOctets = 512;
inline constexpr std::size_t kPageOctets = 4096;

enum class Kind : char {
  create = 'C',
  rename = 'R',
  unlink = 'U',
  mode = 'M',
  write = 'W',
  truncate = 'T',
  sync = 'S',
  data_sync = 'F',
  sync_all = 'A',
  sync_directory = 'D',
  acknowledge = 'K',
};

struct Event {
  Kind kind{};
  std::uint64_t start = 0;
  std::uint64_t end = 0;  ///< The call returned; kNever if it did not.
  std::int64_t microseconds = 0;
  unsigned inode = 0;
  std::uint64_t number = 0;  ///< Offset, size or mode.
  std::string path;          ///< Also the token of an acknowledgement.
  std::string target;        ///< Of a rename.
  std::string data;
};
inline constexpr std::uint64_t kNever = UINT64_MAX;

/// Errors: a log that is not understood.
[[nodiscard]] Result<std::vector<Event>> read_log(const std::string& path);

struct DiskFile {
  unsigned inode = 0;
  unsigned mode = 0;
  const std::string* content = nullptr;
};
using DiskState = std::map<std::string, DiskFile>;  ///< By path.

/// How one state treats what was not synced.
struct Fate {
  double names = 0;            ///< Share of the unsynced operations on names that are there.
  double data = 0;             ///< Likelihood that a sector has its unsynced writes.
  bool torn = false;           ///< Sectors differ from each other; else whole files do.
  bool spoiled_pages = false;  ///< A page of a segment that was being written holds garbage.
};

class DiskModel {
 public:
  /// `events` must outlive the model. `without_syncs`: as if no sync had ever been made.
  DiskModel(const std::vector<Event>& events, bool without_syncs);

  /// The disk after a cut just before the event with this position in the trace. Valid until the next call.
  [[nodiscard]] const DiskState& cut(std::uint64_t when, const Fate& fate, std::mt19937_64& random);
  /// The bytes of a file as processes saw them at `when`.
  [[nodiscard]] std::string seen(unsigned inode, std::uint64_t when) const;
  /// All that was written to `inode`, in order.
  [[nodiscard]] const std::vector<const Event*>& writes(unsigned inode) const;

 private:
  struct History {
    std::vector<const Event*> data;   // writes and truncations
    std::vector<const Event*> syncs;  // of this file, and of everything
  };
  [[nodiscard]] std::size_t durable_names(std::uint64_t when) const;
  void compose(unsigned inode, std::uint64_t when, bool segment, const Fate& fate, std::mt19937_64& random,
               std::string& out) const;

  std::vector<const Event*> names_;  // in order of their start
  std::vector<const Event*> syncs_;
  std::unordered_map<unsigned, History> files_;
  std::unordered_map<unsigned, std::string> contents_;
  DiskState state_;
};

}  // namespace stagepost::crash
