#include "disk_model.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/text.hpp"

namespace stagepost::crash {
namespace {

bool about_names(Kind kind) {
  return kind == Kind::create || kind == Kind::rename || kind == Kind::unlink || kind == Kind::mode;
}

bool in_directory(const std::string& path, const std::string& directory) {
  const auto slash = path.rfind('/');
  return slash != std::string::npos && std::string_view(path).substr(0, slash) == directory;
}

/// A sync that began after the operation had ended, and that had ended before the cut.
bool covered(const Event& operation, const std::vector<const Event*>& syncs, std::uint64_t when) {
  return std::ranges::any_of(syncs, [&](const Event* sync) { return sync->end < when && operation.end < sync->start; });
}

void apply(std::string& bytes, const Event& event) {
  if (event.kind == Kind::truncate) {
    bytes.resize(event.number);
    return;
  }
  if (bytes.size() < event.number + event.data.size()) { bytes.resize(event.number + event.data.size()); }
  bytes.replace(event.number, event.data.size(), event.data);
}

double draw(std::mt19937_64& random) { return std::uniform_real_distribution<double>(0, 1)(random); }
std::size_t draw(std::mt19937_64& random, std::size_t low, std::size_t high) {
  return std::uniform_int_distribution<std::size_t>(low, high)(random);
}

}  // namespace

Result<std::vector<Event>> read_log(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<Event> events;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    char kind = 0;
    Event event;
    fields >> kind >> event.start >> event.end >> event.microseconds >> event.inode;
    event.kind = Kind{kind};
    if (event.end == 0) { event.end = kNever; }
    std::size_t octets = 0;
    switch (event.kind) {
      case Kind::create:
        fields >> event.number >> event.path;
        break;
      case Kind::rename:
        fields >> event.path >> event.target;
        break;
      case Kind::mode:
        fields >> event.number;
        break;
      case Kind::write:
        fields >> event.number >> octets;
        break;
      case Kind::truncate:
        fields >> event.number;
        break;
      case Kind::unlink:
      case Kind::sync_directory:
      case Kind::acknowledge:
        fields >> event.path;
        break;
      case Kind::sync:
      case Kind::data_sync:
      case Kind::sync_all:
        break;
      default:
        return failure("not understood: " + line);
    }
    if (!fields) { return failure("not understood: " + line); }
    event.data.resize(octets);
    if (octets > 0 && !in.read(event.data.data(), static_cast<std::streamsize>(octets))) {
      return failure("the log is cut off");
    }
    events.push_back(std::move(event));
  }
  if (events.empty()) { return failure(path + " holds no events"); }
  return events;
}

DiskModel::DiskModel(const std::vector<Event>& events, bool without_syncs) {
  for (const auto& event : events) {
    if (about_names(event.kind)) { names_.push_back(&event); }
    if (event.kind == Kind::write || event.kind == Kind::truncate) { files_[event.inode].data.push_back(&event); }
    if (without_syncs) { continue; }
    if (event.kind == Kind::sync || event.kind == Kind::data_sync) { files_[event.inode].syncs.push_back(&event); }
    if (event.kind == Kind::sync || event.kind == Kind::data_sync || event.kind == Kind::sync_all ||
        event.kind == Kind::sync_directory) {
      syncs_.push_back(&event);
    }
  }
  for (const Event* sync : syncs_) {
    if (sync->kind != Kind::sync_all) { continue; }
    for (auto& [inode, file] : files_) { file.syncs.push_back(sync); }
  }
}

const std::vector<const Event*>& DiskModel::writes(unsigned inode) const {
  static const std::vector<const Event*> kNone;
  const auto found = files_.find(inode);
  return found == files_.end() ? kNone : found->second.data;
}

std::string DiskModel::seen(unsigned inode, std::uint64_t when) const {
  std::string bytes;
  for (const Event* event : writes(inode)) {
    if (event->start < when) { apply(bytes, *event); }
  }
  return bytes;
}

/// How many of names_ are certainly on the disk.
std::size_t DiskModel::durable_names(std::uint64_t when) const {
  for (std::size_t i = names_.size(); i > 0; --i) {
    const Event& operation = *names_[i - 1];
    if (operation.end >= when) { continue; }
    const bool durable = std::ranges::any_of(syncs_, [&](const Event* sync) {
      if (sync->end >= when || operation.end >= sync->start) { return false; }
      switch (sync->kind) {
        case Kind::sync_all:
          return true;
        case Kind::sync:
          return sync->inode == operation.inode;
        // fdatasync stores what is needed to read the data: the file itself, but neither a new name nor a mode.
        case Kind::data_sync:
          return sync->inode == operation.inode && operation.kind == Kind::create;
        default:
          return operation.kind != Kind::mode &&
                 (in_directory(operation.path, sync->path) || in_directory(operation.target, sync->path));
      }
    });
    if (durable) { return i; }
  }
  return 0;
}

void DiskModel::compose(unsigned inode, std::uint64_t when, bool segment, const Fate& fate, std::mt19937_64& random,
                        std::string& out) const {
  out.clear();
  const auto found = files_.find(inode);
  if (found == files_.end()) { return; }
  std::vector<const Event*> later;
  for (const Event* event : found->second.data) {
    if (event->start >= when) { break; }
    if (covered(*event, found->second.syncs, when)) {
      apply(out, *event);
    } else {
      later.push_back(event);
    }
  }
  if (later.empty()) { return; }
  const auto chosen = [&] {  // how many of `later` are there
    if (draw(random) < fate.data) { return later.size(); }
    return fate.torn ? draw(random, 0, later.size()) : 0;
  };
  const std::size_t whole = chosen();
  std::string full = out;
  for (std::size_t i = 0; i < later.size(); ++i) {
    const Event& event = *later[i];
    if (event.kind == Kind::truncate) {
      if (i < whole) { apply(out, event); }
      apply(full, event);
      continue;
    }
    apply(full, event);
  }
  // The size first; then each sector by itself.
  std::size_t size = whole == later.size() ? full.size() : out.size();
  if (fate.torn && size < full.size()) {
    size = draw(random, size, full.size());
    if (draw(random) < 0.7) { size = std::max(out.size(), size / kPageOctets * kPageOctets); }
  }
  out.resize(size);
  std::unordered_map<std::size_t, std::size_t> limits;  // by sector
  for (std::size_t i = 0; i < later.size(); ++i) {
    const Event& event = *later[i];
    if (event.kind == Kind::truncate) { continue; }
    for (std::size_t at = 0; at < event.data.size();) {
      const std::size_t sector = (event.number + at) / kSectorOctets;
      const std::size_t part = std::min(event.data.size() - at, (sector + 1) * kSectorOctets - event.number - at);
      const auto [limit, is_new] = limits.try_emplace(sector, whole);
      if (is_new && fate.torn) { limit->second = chosen(); }
      const std::size_t begin = event.number + at;
      if (i < limit->second && begin < size) {
        const std::size_t fitting = std::min(part, size - begin);
        out.replace(begin, fitting, event.data, at, fitting);
      }
      at += part;
    }
  }
  if (!segment || !fate.spoiled_pages) { return; }
  for (const Event* event : later) {
    for (std::size_t page = event->number / kPageOctets; page * kPageOctets < event->number + event->data.size();
         ++page) {
      if (page * kPageOctets >= size || draw(random) < 0.5) { continue; }
      const std::size_t end = std::min((page + 1) * kPageOctets, size);
      for (std::size_t i = page * kPageOctets; i < end; ++i) { out[i] = static_cast<char>(random()); }
    }
  }
}

const DiskState& DiskModel::cut(std::uint64_t when, const Fate& fate, std::mt19937_64& random) {
  state_.clear();
  const std::size_t certain = durable_names(when);
  const auto started = static_cast<std::size_t>(
      std::ranges::lower_bound(names_, when, {}, [](const Event* event) { return event->start; }) - names_.begin());
  const std::size_t possible = std::max(certain, started);
  const std::size_t names =
      certain + static_cast<std::size_t>(fate.names * static_cast<double>(possible - certain) + 0.5);
  std::unordered_map<unsigned, std::string> places;
  for (std::size_t i = 0; i < names; ++i) {
    const Event& event = *names_[i];
    if (event.kind == Kind::create) {
      state_[event.path] = {event.inode, static_cast<unsigned>(event.number), nullptr};
      places[event.inode] = event.path;
    } else if (event.kind == Kind::rename) {
      auto node = state_.extract(event.path);
      if (node.empty()) { continue; }
      state_.erase(event.target);
      node.key() = event.target;
      state_.insert(std::move(node));
      places[event.inode] = event.target;
    } else if (event.kind == Kind::unlink) {
      state_.erase(event.path);
    } else if (const auto at = state_.find(places[event.inode]);
               at != state_.end() && at->second.inode == event.inode) {
      at->second.mode = static_cast<unsigned>(event.number);
    }
  }
  for (auto& [path, file] : state_) {
    auto& content = contents_[file.inode];
    compose(file.inode, when, path.starts_with("journal/segment."), fate, random, content);
    file.content = &content;
  }
  return state_;
}

}  // namespace stagepost::crash
