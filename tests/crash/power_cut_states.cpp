// Builds disk states that a power cut may have left of a recorded run, runs the real recovery on each, and checks what
// is then in the queue (tests/README.md, "Power cuts"). Helper of test_power_cut.py.
//
//   power_cut_states --log FILE --scratch DIRECTORY [--states N] [--seed N] [--window SECONDS] [--without-syncs]
//
// Exit status: 0 all is well, 1 something is wrong (told on standard output), 2 the log or the scratch directory.
#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "disk_model.hpp"
#include "queue/instance.hpp"
#include "queue/journal_format.hpp"
#include "queue/journal_recovery.hpp"

namespace {

using namespace stagepost;
using namespace stagepost::crash;
namespace fs = std::filesystem;

constexpr std::array kTops{"maildrop", "incoming", "active", "deferred", "hold", "corrupt", "saved", "journal"};
/// Where a complete file is a message that will be delivered, or waits for the administrator.
constexpr std::array kLive{"maildrop", "incoming", "active", "deferred", "hold"};
constexpr std::string_view kToken = "X-Token: ";
constexpr unsigned kComplete = 0100;
constexpr std::size_t kFileLimit = 64U << 20U;
constexpr int kShown = 10;

/// One queue file that held a message.
struct Copy {
  unsigned inode = 0;
  std::uint64_t complete_at = 0;  ///< Position in the trace.
  std::string content;
  std::set<std::string> names;  ///< Without directories.
  std::uint64_t unlinked_at = kNever;
  std::uint64_t completion_at = kNever;
  std::int64_t completion_time = 0;
  std::uint64_t completion_durable = kNever;
  [[nodiscard]] std::uint64_t gone_at() const { return std::min(unlinked_at, completion_at); }
};
struct Message {
  std::uint64_t acknowledged_at = kNever;
  std::vector<Copy> copies;  ///< In order; a file that pickup hands on is followed by cleanup's.

  /// At `when` somebody relied on this copy: the client, or who removed the copy before it.
  [[nodiscard]] bool promised(std::size_t copy, std::uint64_t when) const {
    return copy == 0 ? acknowledged_at < when : copies[copy - 1].gone_at() < when;
  }
};
struct Options {
  std::string log;
  std::string scratch;
  std::uint64_t states = 1000;
  std::uint64_t seed = 1;
  std::uint64_t window = 3;  ///< Seconds after which a completion counts as stored (the promise is one).
  bool without_syncs = false;
};
struct Figures {
  std::uint64_t states = 0, messages = 0, replayed = 0, restored = 0, repaired = 0, removed = 0, set_aside = 0;
  std::uint64_t again_in_window = 0, again_by_names = 0, unfinished = 0, handed_over_twice = 0;
  std::uint64_t lost = 0, damaged = 0, twice = 0, back = 0, failed = 0;
  [[nodiscard]] std::uint64_t wrong() const { return lost + damaged + twice + back + failed; }
};

std::string token_of(std::string_view bytes) {
  const auto at = bytes.find(kToken);
  if (at == std::string_view::npos) { return {}; }
  const auto rest = bytes.substr(at + kToken.size(), 40);
  const auto end = rest.find('.');
  return end == std::string_view::npos ? std::string() : std::string(rest.substr(0, end));
}

class Checker {
 public:
  Checker(const Options& options, const std::vector<Event>& events)
      : options_(options),
        events_(events),
        model_(events, options.without_syncs),
        root_(options.scratch + "/queue"),
        directory_(root_, queue::Hashing{}),
        random_(options.seed) {
    find_messages();
    find_completions();
  }

  Result<Figures> run();
  [[nodiscard]] std::size_t messages() const { return messages_.size(); }

 private:
  struct Found {
    std::string path;
    std::string content;
  };

  void find_messages();
  void find_completions();
  [[nodiscard]] std::uint64_t pick_cut();
  [[nodiscard]] Fate pick_fate();
  Result<> build(const DiskState& state) const;
  Result<> clear() const;
  Result<std::vector<Found>> list() const;
  void check_state(std::uint64_t when, const std::vector<Found>& files);
  [[nodiscard]] bool is_copy(const Copy& copy, std::string_view content, std::uint64_t when) const;
  [[nodiscard]] bool is_unfinished(const std::string& name, std::uint64_t when) const;
  void complain(std::uint64_t& counter, std::string_view what);

  const Options& options_;
  const std::vector<Event>& events_;
  DiskModel model_;
  std::string root_;
  queue::QueueDirectory directory_;
  std::mt19937_64 random_;
  std::map<std::string, Message> messages_;  // by token
  Figures figures_;
  std::string where_;
  int shown_ = 0;
};

/// A file holds a message from the moment when it is marked as complete.
void Checker::find_messages() {
  std::map<unsigned, Copy*> by_inode;
  std::map<unsigned, std::string> token_by_inode;
  for (const auto& event : events_) {
    if (event.kind == Kind::acknowledge) {
      messages_[event.path].acknowledged_at = event.start;
    } else if (event.kind == Kind::mode && (event.number & kComplete) != 0) {
      std::string content = model_.seen(event.inode, event.start);
      const std::string token = token_of(content);
      if (token.empty() || token_by_inode.contains(event.inode)) { continue; }
      token_by_inode[event.inode] = token;
      auto& copy = messages_[token].copies.emplace_back();
      copy.inode = event.inode;
      copy.complete_at = event.start;
      copy.content = std::move(content);
      for (const auto& other : events_) {
        if (other.inode != event.inode || other.kind != Kind::rename) { continue; }
        copy.names.insert(other.target.substr(other.target.rfind('/') + 1));
      }
    } else if (event.kind == Kind::unlink && token_by_inode.contains(event.inode)) {
      for (auto& copy : messages_[token_by_inode[event.inode]].copies) {
        if (copy.inode == event.inode) { copy.unlinked_at = event.start; }
      }
    }
  }
}

void Checker::find_completions() {
  std::set<unsigned> logs;
  for (const auto& event : events_) {
    if (event.kind == Kind::create && event.path.starts_with("journal/completed.")) { logs.insert(event.inode); }
    if (event.kind != Kind::write || !logs.contains(event.inode)) { continue; }
    for (std::size_t at = 0; at + queue::journal::kCompletionOctets <= event.data.size();
         at += queue::journal::kCompletionOctets) {
      const auto slot =
          queue::journal::parse_completion(std::string_view(event.data).substr(at, queue::journal::kCompletionOctets));
      if (!slot || slot->kind != queue::journal::CompletionKind::removed) { continue; }
      for (auto& [token, message] : messages_) {
        for (auto& copy : message.copies) {
          const auto instance = queue::parse_instance(copy.content, slot->instance.id);
          if (!instance || *instance != slot->instance || !copy.content.contains(slot->instance.id.str())) { continue; }
          copy.completion_at = event.start;
          copy.completion_time = event.microseconds;
          for (const auto& sync : events_) {
            const bool covers =
                sync.kind == Kind::sync_all ||
                ((sync.kind == Kind::sync || sync.kind == Kind::data_sync) && sync.inode == event.inode);
            if (covers && sync.start > event.end) {
              copy.completion_durable = std::min(copy.completion_durable, sync.end);
            }
          }
        }
      }
    }
  }
}

/// Anywhere; but more often beside a reply, a sync, a rename or a removal than between two writes.
std::uint64_t Checker::pick_cut() {
  const auto pick = [&](std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random_);
  };
  if (pick(0, 3) == 0) { return pick(events_.front().start, events_.back().start + 1); }
  for (;;) {
    const Event& event = events_[pick(0, events_.size() - 1)];
    const bool rare = event.kind != Kind::write && event.kind != Kind::create && event.kind != Kind::mode;
    if (!rare && pick(0, 2) != 0) { continue; }
    const std::uint64_t at = pick(0, 1) == 0 || event.end == kNever ? event.start : event.end;
    return at + pick(0, 1);
  }
}

Fate Checker::pick_fate() {
  const auto share = [&] {
    const double drawn = std::uniform_real_distribution<double>(0, 5)(random_);
    if (drawn < 1.5) { return 0.0; }
    return drawn < 3 ? 1.0 : drawn - std::floor(drawn);
  };
  Fate fate{.names = share(), .data = share()};
  fate.torn = random_() % 2 == 0;
  fate.spoiled_pages = random_() % 4 == 0;
  return fate;
}

Result<> Checker::clear() const {
  for (const char* top : kTops) {
    for (const auto& entry : fs::recursive_directory_iterator(root_ + '/' + top)) {
      if (entry.is_regular_file()) { SP_TRY(sys::unlink(entry.path().string())); }
    }
  }
  return {};
}

Result<> Checker::build(const DiskState& state) const {
  for (const auto& [path, file] : state) {
    const std::string full = root_ + '/' + path;
    auto opened = sys::open(full, O_WRONLY | O_CREAT | O_EXCL, file.mode);
    if (!opened) {
      fs::create_directories(fs::path(full).parent_path());
      SP_TRY(opened, sys::open(full, O_WRONLY | O_CREAT | O_EXCL, file.mode));
    }
    const int fd = opened->get();
    SP_TRY(sys::fchmod(fd, file.mode));
    // Pages of zeros need not be written: a segment is mostly that.
    static const std::string kZeros(kPageOctets, '\0');
    const std::string_view bytes(*file.content);
    if (::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) { return errno_failure("truncate " + full); }
    for (std::size_t at = 0; at < bytes.size(); at += kPageOctets) {
      const auto page = bytes.substr(at, kPageOctets);
      if (page == std::string_view(kZeros).substr(0, page.size())) { continue; }
      SP_TRY(sys::pwrite_all(fd, page, static_cast<off_t>(at)));
    }
  }
  return {};
}

/// The complete files of the queues.
Result<std::vector<Checker::Found>> Checker::list() const {
  std::vector<Found> files;
  for (const char* top : kLive) {
    for (const auto& entry : fs::recursive_directory_iterator(root_ + '/' + top)) {
      if (!entry.is_regular_file()) { continue; }
      const std::string path = entry.path().string();
      SP_TRY(const auto status, sys::lstat(path));
      if ((status.st_mode & kComplete) == 0) { continue; }
      SP_TRY(std::string content, sys::read_file(path, kFileLimit));
      files.push_back({path.substr(root_.size() + 1), std::move(content)});
    }
  }
  return files;
}

/// The same octets, but for what was written to the file after it was complete (marks of recipients that are done).
bool Checker::is_copy(const Copy& copy, std::string_view content, std::uint64_t when) const {
  if (content.size() != copy.content.size()) { return false; }
  for (std::size_t i = 0; i < content.size(); ++i) {
    if (content[i] == copy.content[i]) { continue; }
    const bool marked = std::ranges::any_of(model_.writes(copy.inode), [&](const Event* event) {
      return event->kind == Kind::write && event->start > copy.complete_at && event->start < when &&
             i >= event->number && i - event->number < event->data.size() &&
             event->data[i - event->number] == content[i];
    });
    if (!marked) { return false; }
  }
  return true;
}

/// Nobody has been promised anything about the file with this name: its mark may be on the disk before its data.
bool Checker::is_unfinished(const std::string& name, std::uint64_t when) const {
  for (const auto& [token, message] : messages_) {
    for (std::size_t i = 0; i < message.copies.size(); ++i) {
      if (message.copies[i].names.contains(name)) { return !message.promised(i, when); }
    }
  }
  return false;
}

void Checker::complain(std::uint64_t& counter, std::string_view what) {
  ++counter;
  if (++shown_ <= kShown) { fmt::print("  {}: {}\n", where_, what); }
}

void Checker::check_state(std::uint64_t when, const std::vector<Found>& files) {
  std::map<std::string, std::vector<const Found*>> intact;
  for (const auto& file : files) {
    const std::string token = token_of(file.content);
    const auto message = messages_.find(token);
    const bool known = message != messages_.end() && std::ranges::any_of(message->second.copies, [&](const Copy& copy) {
                         return is_copy(copy, file.content, when);
                       });
    if (known) {
      intact[token].push_back(&file);
    } else if (is_unfinished(file.path.substr(file.path.rfind('/') + 1), when)) {
      ++figures_.unfinished;
    } else {
      complain(figures_.damaged, fmt::format("{} ({}) is complete but damaged", file.path, token));
    }
  }
  const auto next = std::ranges::lower_bound(events_, when, {}, &Event::start);
  const std::int64_t now = next == events_.begin() ? next->microseconds : std::prev(next)->microseconds;
  for (const auto& [token, message] : messages_) {
    if (message.copies.empty()) { continue; }
    const auto found = intact.find(token);
    const std::size_t count = found == intact.end() ? 0 : found->second.size();
    const Copy& last = message.copies.back();
    const bool acknowledged = message.acknowledged_at < when;
    const bool may_be_gone = last.gone_at() < when;
    figures_.messages += acknowledged ? 1 : 0;
    if (count == 0) {
      if (acknowledged && !may_be_gone) { complain(figures_.lost, token + " is lost"); }
      continue;
    }
    if (message.copies.size() > 1) {
      // What pickup hands on is in two files until the removal of the first is stored.
      figures_.handed_over_twice += count > 1 || may_be_gone ? 1 : 0;
      continue;
    }
    if (count > 1) {
      complain(figures_.twice,
               fmt::format("{} is in {} and {}", token, found->second[0]->path, found->second[1]->path));
    }
    if (last.completion_at < when) {
      const bool stored = !options_.without_syncs && last.completion_durable < when;
      const bool old = now - last.completion_time > static_cast<std::int64_t>(options_.window) * 1'000'000;
      if (stored || old) {
        complain(figures_.back,
                 fmt::format("{} is back as {}, {} µs after its completion{}", token, found->second[0]->path,
                             now - last.completion_time, stored ? ", which was stored" : ""));
      } else {
        ++figures_.again_in_window;
      }
    } else if (last.unlinked_at < when) {
      ++figures_.again_by_names;
    }
  }
}

Result<Figures> Checker::run() {
  SP_TRY(directory_.create_all({::getuid(), ::getgid(), ::getgid()}));
  for (; figures_.states < options_.states; ++figures_.states) {
    const std::uint64_t when = pick_cut();
    const Fate fate = pick_fate();
    where_ = fmt::format("state {}, cut at {}, names {:.2f}, data {:.2f}{}{}", figures_.states, when, fate.names,
                         fate.data, fate.torn ? ", torn" : "", fate.spoiled_pages ? ", pages spoiled" : "");
    SP_TRY(clear());
    SP_TRY(build(model_.cut(when, fate, random_)));
    const queue::journal::RecoveryOptions recovery{.boot_id = {0xff, 1}, .patience = std::chrono::seconds(0)};
    const auto report = queue::journal::recover(directory_, recovery);
    if (!report) {
      complain(figures_.failed, "recovery failed: " + report.error().message());
      continue;
    }
    figures_.replayed += report->segments;
    figures_.restored += report->restored;
    figures_.repaired += report->repaired;
    figures_.removed += report->removed;
    figures_.set_aside += report->warnings.size();
    if (!queue::journal::is_empty(root_ + "/journal")) { complain(figures_.failed, "the journal is not empty"); }
    SP_TRY(const auto files, list());
    check_state(when, files);
  }
  return figures_;
}

bool read_options(std::span<char*> arguments, Options& options) {
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (name == "--without-syncs") {
      options.without_syncs = true;
      continue;
    }
    if (++i == arguments.size()) { return false; }
    const std::string value = arguments[i];
    const auto number = text::parse_unsigned(value);
    if (name == "--log") {
      options.log = value;
    } else if (name == "--scratch") {
      options.scratch = value;
    } else if (name == "--states" && number) {
      options.states = *number;
    } else if (name == "--seed" && number) {
      options.seed = *number;
    } else if (name == "--window" && number) {
      options.window = *number;
    } else {
      return false;
    }
  }
  return !options.log.empty() && !options.scratch.empty();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!read_options(std::span(argv, static_cast<std::size_t>(argc)), options)) {
    std::fputs(
        "usage: power_cut_states --log FILE --scratch DIRECTORY [--states N] [--seed N] [--window SECONDS] "
        "[--without-syncs]\n",
        stderr);
    return 2;
  }
  const auto events = read_log(options.log);
  if (!events) {
    fmt::print(stderr, "power_cut_states: {}\n", events.error().message());
    return 2;
  }
  Checker checker(options, *events);
  const auto figures = checker.run();
  if (!figures) {
    fmt::print(stderr, "power_cut_states: {}\n", figures.error().message());
    return 2;
  }
  fmt::print(
      "  {} states of {} events, {} messages: {} acknowledged messages looked for, {} segments replayed, {} restored, "
      "{} repaired, {} removed again, {} warnings\n",
      figures->states, events->size(), checker.messages(), figures->messages, figures->replayed, figures->restored,
      figures->repaired, figures->removed, figures->set_aside);
  fmt::print(
      "  allowed: {} again within the window, {} again as names were not stored, {} handed over twice, {} damaged "
      "before the reply\n",
      figures->again_in_window, figures->again_by_names, figures->handed_over_twice, figures->unfinished);
  fmt::print("  wrong: {} lost, {} damaged, {} twice, {} back, {} recoveries failed\n", figures->lost, figures->damaged,
             figures->twice, figures->back, figures->failed);
  return figures->wrong() == 0 ? 0 : 1;
}
