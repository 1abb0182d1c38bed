// Removing messages, many at a time. A file system that tells the disk of each block it frees ("discard") waits for the
// disk in each unlink(2), so that several threads wait together.
#include <algorithm>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/stat.h>

#include <fmt/format.h>

#include "base/shared_work.hpp"
#include "base/sys.hpp"
#include "commands/postsuper/maintenance.hpp"

namespace stagepost::postsuper {
namespace {

using enum queue::QueueName;
using queue::QueueName;
using queue::journal::Completion;
using queue::journal::CompletionKind;

constexpr std::size_t kBatch = 64;
constexpr std::size_t kThreads = 32;

/// False also when that cannot be told.
bool is_empty_directory(const std::string& path) {
  const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> directory(::opendir(path.c_str()));
  if (!directory) { return false; }
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') { return false; }
  }
  return errno == 0;
}

}  // namespace

void Maintenance::remove_selected() {
  std::vector<Removal> selected = std::exchange(selected_, {});
  std::size_t begin = 0;
  // Parts of the vector; that the outcome is there in the order of the IDs.
  share_work(
      kThreads,
      [&]() -> std::optional<std::span<Removal>> {
        if (begin == selected.size()) { return std::nullopt; }
        const auto part = std::span(selected).subspan(begin, std::min(kBatch, selected.size() - begin));
        begin += part.size();
        return part;
      },
      [this, journaled = journal_in_use()](std::span<Removal> part) { remove(part, journaled); });
  for (const Removal& removal : selected) {
    if (count(removal)) { reporter_.info(fmt::format("{}: removed", removal.found.id.str())); }
  }
}

Result<> Maintenance::remove_all(const std::vector<QueueName>& places) {
  struct Batch {
    QueueName queue;
    std::vector<queue::QueueScan::Entry> entries;
    bool journaled;
  };
  Result<> status;
  auto place = places.begin();
  std::optional<queue::QueueScan> scan;
  share_work(
      kThreads,
      [&]() -> std::optional<Batch> {
        while (status && place != places.end()) {
          if (!scan) { scan.emplace(directory_, *place); }
          auto entries = read_entries(*scan, kBatch);
          if (!entries) {
            status = std::unexpected(entries.error());
          } else if (entries->empty()) {
            scan.reset();
            ++place;
          } else {
            // Asked after the files were seen: the segment of a message is there before its file is complete.
            return Batch{*place, *std::move(entries), journal_in_use()};
          }
        }
        return std::nullopt;
      },
      [this](Batch& batch) {
        std::vector<Removal> removals = complete_messages(batch.queue, batch.entries);
        remove(removals, batch.journaled);
        const std::scoped_lock lock(changes_);
        for (const Removal& removal : removals) { static_cast<void>(count(removal)); }
      });
  return status;
}

std::vector<Maintenance::Removal> Maintenance::complete_messages(QueueName queue,
                                                                 const std::vector<queue::QueueScan::Entry>& entries) {
  std::vector<Removal> removals;
  for (const auto& entry : entries) {
    if (auto id = message_to_change(queue, entry)) { removals.push_back({.found = {*std::move(id), queue}}); }
  }
  return removals;
}

// The journal must not bring back what is removed; what goes through it is noted there first.
void Maintenance::complete_in_journal(std::span<const Removal> removals) {
  std::vector<Completion> completions;
  for (const Removal& removal : removals) {
    const auto& [id, queue] = removal.found;
    if (queue == maildrop) { continue; }
    const auto instance = queue::read_instance(directory_.path(queue, id), id);
    // Without: gone, or nothing that cleanup wrote.
    if (instance) { completions.push_back({CompletionKind::removed, *instance}); }
  }
  const std::scoped_lock lock(changes_);
  const auto done = completions_.append(completions);
  if (!done) { warn(fmt::format("journal: {}", done.error().message())); }
}

void Maintenance::remove(std::span<Removal> removals, bool journaled) {
  if (journaled) { complete_in_journal(removals); }
  for (Removal& removal : removals) { removal.message = directory_.remove(removal.found.queue, removal.found.id); }
  // There are seldom logs but those of deferred messages. Looked at when the messages are gone and get none any more.
  const bool only_deferrals = is_empty_directory(directory_.path(bounce)) && is_empty_directory(directory_.path(trace));
  for (Removal& removal : removals) {
    if (!removal.message) { continue; }
    removal.logs =
        only_deferrals ? directory_.remove(defer, removal.found.id) : directory_.remove_logs(removal.found.id);
  }
}

bool Maintenance::count(const Removal& removal) {
  if (!moved(removal.message, "remove")) { return false; }
  static_cast<void>(moved(removal.logs, "remove logs"));
  ++counters_.removed;
  return true;
}

}  // namespace stagepost::postsuper
