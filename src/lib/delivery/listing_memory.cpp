#include "delivery/listing_memory.hpp"

#include <limits>

namespace stagepost::delivery {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
/// Several steps of the slowest kernel clock (100 Hz).
constexpr std::int64_t kFineMargin = 50'000'000;
constexpr std::int64_t kCoarseMargin = 2 * kSecond;

}  // namespace

ListingMemory::FileState ListingMemory::state_of(const struct stat& status) {
  return {.inode = status.st_ino,
          .changed_ns = status.st_ctim.tv_sec * kSecond + status.st_ctim.tv_nsec,
          .size_bytes = status.st_size};
}

bool ListingMemory::is_settled(const FileState& file, std::int64_t now_ns) {
  if (file.inode == 0) { return true; }
  // A time without fraction comes from a file system that has none; by chance it is rare.
  const std::int64_t margin = file.changed_ns % kSecond == 0 ? kCoarseMargin : kFineMargin;
  return file.changed_ns < now_ns - margin;
}

std::size_t ListingMemory::cost(std::size_t octets) {
  // The node, its place in the table, and what malloc adds to both pieces.
  return sizeof(Entries::value_type) + 8 * sizeof(void*) + octets;
}

std::uint64_t ListingMemory::begin() {
  const std::scoped_lock lock(lock_);
  used_by_newest_ = 0;
  return ++newest_;
}

void ListingMemory::end(std::uint64_t listing) {
  const std::scoped_lock lock(lock_);
  if (listing == newest_ && used_by_newest_ == entries_.size()) { return; }
  for (auto at = entries_.begin(); at != entries_.end();) {
    at = at->second.used < listing ? erase(at) : std::next(at);
  }
}

std::optional<ListingMemory::Told> ListingMemory::recall(ino_t inode, std::string_view name) {
  const std::scoped_lock lock(lock_);
  const auto found = entries_.find(inode);
  if (found == entries_.end()) { return std::nullopt; }
  Entry& entry = found->second;
  const std::string_view all = entry.name_and_text;
  // The inode of a message that is gone serves another one.
  if (all.substr(0, entry.name_size) != name) { return std::nullopt; }
  if (entry.used != newest_) {
    entry.used = newest_;
    ++used_by_newest_;
  }
  return Told{.message = entry.message, .log = entry.log, .text = std::string(all.substr(entry.name_size))};
}

void ListingMemory::remember(ino_t inode, std::string_view name, const FileState& message, const FileState& log,
                             std::int64_t seen_ns, std::string_view text) {
  const std::scoped_lock lock(lock_);
  if (const auto known = entries_.find(inode); known != entries_.end()) { erase(known); }
  if (!is_settled(message, seen_ns) || !is_settled(log, seen_ns)) { return; }
  if (name.size() > std::numeric_limits<std::uint32_t>::max()) { return; }
  const std::size_t needed = cost(name.size() + text.size());
  if (needed > limit_bytes_ - size_bytes_) { return; }
  Entry entry{.message = message,
              .log = log,
              .used = newest_,
              .name_size = static_cast<std::uint32_t>(name.size()),
              .name_and_text = {}};
  entry.name_and_text.reserve(name.size() + text.size());
  entry.name_and_text.append(name).append(text);
  entries_.emplace(inode, std::move(entry));
  size_bytes_ += needed;
  ++used_by_newest_;
}

ListingMemory::Entries::iterator ListingMemory::erase(Entries::iterator at) {
  size_bytes_ -= cost(at->second.name_and_text.size());
  used_by_newest_ -= at->second.used == newest_ ? 1 : 0;
  return entries_.erase(at);
}

std::size_t ListingMemory::size_bytes() const {
  const std::scoped_lock lock(lock_);
  return size_bytes_;
}

std::size_t ListingMemory::messages() const {
  const std::scoped_lock lock(lock_);
  return entries_.size();
}

}  // namespace stagepost::delivery
