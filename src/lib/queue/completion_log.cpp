#include "queue/completion_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "queue/journal_segment.hpp"

namespace stagepost::queue::journal {
namespace {

constexpr std::size_t kReadOctets = 512 * kCompletionOctets;

}  // namespace

Result<> CompletionLog::append(std::span<const Completion> completions) {
  std::string slots;
  for (const Completion& completion : completions) { append_completion(slots, completion); }
  if (slots.empty()) { return {}; }
  if (!fd_) {
    SP_TRY(OwnedFile file, create_owned(directory_, kCompletedPrefix, O_WRONLY));
    fd_ = std::make_shared<unique_fd>(std::move(file.fd));
    name_ = std::move(file.name);
    octets_ = 0;
  }
  // At an offset of our own: after a write that failed in the middle, the next slot is where readers look for one.
  auto written = sys::pwrite_all(fd_->get(), slots, static_cast<off_t>(octets_));
  if (!written) { return std::unexpected(std::move(written).error().within(directory_ + '/' + name_)); }
  octets_ += slots.size();
  unsynced_ = true;
  return {};
}

std::function<Result<>()> CompletionLog::sync_job() {
  unsynced_ = false;
  if (!fd_) {
    return [] { return Result<>{}; };
  }
  return [fd = fd_, path = directory_ + '/' + name_]() -> Result<> {
    if (::fdatasync(fd->get()) != 0) { return errno_failure("fdatasync " + path); }
    return {};
  };
}

void CompletionLog::close() {
  fd_.reset();
  name_.clear();
  octets_ = 0;
  unsynced_ = false;
}

void CompletionLog::discard() {
  if (!name_.empty()) { static_cast<void>(sys::unlink(directory_ + '/' + name_)); }
  close();
}

Result<> CompletionReader::poll(const std::function<void(const Completion&)>& use) {
  SP_TRY(const auto names, sys::list_directory(directory_));
  for (auto& [name, log] : logs_) { log.seen = false; }
  for (const auto& name : names) {
    if (!name.starts_with(kCompletedPrefix)) { continue; }
    auto found = logs_.find(name);
    if (found == logs_.end()) {
      auto fd = sys::open(directory_ + '/' + name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (!fd) {
        if (fd.error().is(std::errc::no_such_file_or_directory)) { continue; }
        return std::unexpected(std::move(fd).error());
      }
      SP_TRY(const auto status, sys::fstat(fd->get()));
      if (!S_ISREG(status.st_mode)) { continue; }
      found = logs_.emplace(name, Log{.fd = *std::move(fd)}).first;
    }
    found->second.seen = true;
  }
  for (auto& [name, log] : logs_) {
    auto read_all = read(log, use);
    if (!read_all) { return std::unexpected(std::move(read_all).error().within(directory_ + '/' + name)); }
  }
  // A log that is gone was read to its end.
  std::erase_if(logs_, [](const auto& entry) { return !entry.second.seen; });
  return {};
}

Result<> CompletionReader::read(Log& log, const std::function<void(const Completion&)>& use) const {
  std::string buffer(kReadOctets, '\0');
  for (;;) {
    SP_TRY(const std::size_t got, sys::pread(log.fd.get(), buffer, static_cast<off_t>(log.offset)));
    const std::size_t whole = got / kCompletionOctets * kCompletionOctets;
    for (std::size_t at = 0; at < whole; at += kCompletionOctets) {
      if (const auto completion = parse_completion(std::string_view(buffer).substr(at, kCompletionOctets))) {
        use(*completion);
      }
    }
    log.offset += whole;
    if (whole < buffer.size()) { return {}; }
  }
}

Result<> CompletionReader::sync() {
  for (auto& [name, log] : logs_) {
    if (log.synced == log.offset) { continue; }
    if (::fdatasync(log.fd.get()) != 0) { return errno_failure("fdatasync " + directory_ + '/' + name); }
    log.synced = log.offset;
  }
  return {};
}

}  // namespace stagepost::queue::journal
