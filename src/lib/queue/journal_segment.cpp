#include "queue/journal_segment.hpp"

#include <array>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "queue/lock.hpp"

namespace stagepost::queue::journal {
namespace {

constexpr int kNameAttempts = 10'000;

std::uint64_t random_salt() {
  std::uint64_t salt = 0;
  while (salt == 0) {
    if (::getrandom(&salt, sizeof salt, 0) != static_cast<ssize_t>(sizeof salt)) { salt = 0; }
  }
  return salt;
}

Result<> data_sync(int fd, const std::string& name) {
  if (::fdatasync(fd) != 0) { return errno_failure("fdatasync " + name); }
  return {};
}

Result<> sync_directory(const std::string& directory) {
  SP_TRY(const unique_fd fd, sys::open(directory, O_RDONLY | O_DIRECTORY));
  return sys::fsync(fd.get());
}

/// Stores this part now, and without a flush: several MiB of dirty pages in one piece would keep the disk from everyone
/// who waits for a sync meanwhile. Durable it becomes by the fsync at the end.
Result<> write_back(int fd, std::uint64_t at, std::size_t octets, const std::string& path) {
  constexpr unsigned kAndWait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (::sync_file_range(fd, static_cast<off64_t>(at), static_cast<off64_t>(octets), kAndWait) == 0) { return {}; }
  // An error of the disk is reported once, and this was the time.
  if (errno != ENOSYS) { return errno_failure("sync_file_range " + path); }
  return {};
}

Result<> fill(int fd, const SegmentHeader& header, const std::string& path) {
  // Written, not fallocate: unwritten extents would make each later sync store metadata.
  const std::string zeros(256 * 1024, '\0');
  for (std::uint64_t at = kPageOctets; at < header.segment_octets;) {
    const std::size_t part = std::min<std::uint64_t>(zeros.size(), header.segment_octets - at);
    auto written = sys::pwrite_all(fd, std::string_view(zeros).substr(0, part), static_cast<off_t>(at));
    if (!written) { return std::unexpected(std::move(written).error().within(path)); }
    SP_TRY(write_back(fd, at, part, path));
    at += part;
  }
  SP_TRY(sys::pwrite_all(fd, encode_header(header), 0));
  return sys::fsync(fd);
}

}  // namespace

BootId read_boot_id() {
  BootId id{};
  const auto read = sys::read_file("/proc/sys/kernel/random/boot_id", 100);
  if (!read) { return id; }
  std::string digits;
  for (const char c : *read) {
    if (c != '-' && c != '\n') { digits += c; }
  }
  if (digits.size() != 2 * id.size()) { return id; }
  for (std::size_t i = 0; i < id.size(); ++i) {
    const auto nibble = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) & 15U; };
    id[i] = static_cast<unsigned char>(nibble(digits[2 * i]) * 16 + nibble(digits[2 * i + 1]));
  }
  return id;
}

Result<OwnedFile> create_owned(const std::string& directory, std::string_view prefix, int flags) {
  // The time, because process numbers and small counters come again while somebody may still know the old file.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t first = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  for (int n = 0; n < kNameAttempts; ++n) {
    std::string name = std::string(prefix) + std::to_string(::getpid()) + '.' + std::to_string(first + n);
    const std::string path = directory + '/' + name;
    auto fd = sys::open(path, flags | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!fd) {
      if (fd.error().is(std::errc::file_exists)) { continue; }  // left by an earlier process with our number
      return std::unexpected(std::move(fd).error());
    }
    // Whoever cleans up may have taken it for left over before it was locked.
    if (!try_lock(fd->get())) { continue; }
    SP_TRY(const auto status, sys::fstat(fd->get()));
    if (status.st_nlink == 0) { continue; }
    return OwnedFile{*std::move(fd), std::move(name)};
  }
  return failure("no free name in " + directory, std::errc::file_exists);
}

Result<std::vector<SegmentUse>> durable_segments(const std::string& directory) {
  SP_TRY(const auto names, sys::list_directory(directory));
  std::vector<SegmentUse> uses;
  for (const auto& name : names) {
    if (!name.starts_with(kSegmentPrefix)) { continue; }
    const std::string path = directory + '/' + name;
    auto fd = sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd) {
      if (fd.error().is(std::errc::no_such_file_or_directory)) { continue; }
      return std::unexpected(std::move(fd).error());
    }
    // Read first: a header that is replaced meanwhile counts as the old one.
    std::array<char, kPageOctets> page{};
    const auto got = sys::pread(fd->get(), page, 0);
    const auto header =
        got ? parse_header(std::string_view(page.data(), *got)) : std::unexpected(HeaderError::truncated);
    SP_TRY(data_sync(fd->get(), path));
    uses.push_back({name, header ? header->salt : 0});
  }
  SP_TRY(sync_directory(directory));
  return uses;
}

bool has_segments(const std::string& directory) {
  const auto names = sys::list_directory(directory);
  if (!names) { return !names.error().is(std::errc::no_such_file_or_directory); }
  return std::ranges::any_of(*names, [](const std::string& name) { return name.starts_with(kSegmentPrefix); });
}

Result<SegmentFile> SegmentFile::create(const std::string& directory, std::uint64_t octets, const BootId& boot_id) {
  SP_TRY(OwnedFile file, create_owned(directory, kNewPrefix, O_RDWR));
  const std::string temporary = directory + '/' + file.name;
  const SegmentHeader header{.salt = random_salt(), .generation = 1, .segment_octets = octets, .boot_id = boot_id};
  const std::string name = std::string(kSegmentPrefix) + file.name.substr(kNewPrefix.size());
  const auto ready = [&]() -> Result<> {
    SP_TRY(fill(file.fd.get(), header, temporary));
    if (sys::lstat(directory + '/' + name)) { return failure(name + " exists", std::errc::file_exists); }
    SP_TRY(sys::rename(temporary, directory + '/' + name));
    return sync_directory(directory);
  }();
  if (!ready) {
    static_cast<void>(sys::unlink(temporary));
    return std::unexpected(ready.error());
  }
  file.name = name;
  return SegmentFile(directory, std::move(file), header);
}

SegmentFile::SegmentFile(std::string directory, OwnedFile file, SegmentHeader header)
    : directory_(std::move(directory)), name_(std::move(file.name)), fd_(std::move(file.fd)), header_(header) {}

bool SegmentFile::fits(std::size_t id_octets, std::size_t content_octets) const {
  return offset_ + record_octets(id_octets, content_octets) <= header_.segment_octets;
}

Result<> SegmentFile::append(const Instance& instance, Place place, std::string_view content,
                             std::string_view more_content) {
  const std::string head = encode_record_head(header_.salt, records_ + 1, instance, place, content, more_content);
  const auto part = [](std::string_view bytes) { return iovec{const_cast<char*>(bytes.data()), bytes.size()}; };
  std::array<iovec, 3> parts{part(head), part(content), part(more_content)};
  std::span<iovec> left(parts);
  auto at = static_cast<off_t>(offset_);
  while (true) {
    while (!left.empty() && left.front().iov_len == 0) { left = left.subspan(1); }
    if (left.empty()) { break; }
    const ssize_t written = ::pwritev(fd_.get(), left.data(), static_cast<int>(left.size()), at);
    if (written < 0) {
      if (errno == EINTR) { continue; }
      return errno_failure("write " + name_);
    }
    at += written;
    for (auto skip = static_cast<std::size_t>(written); skip > 0;) {
      const std::size_t now = std::min(skip, left.front().iov_len);
      left.front().iov_base = static_cast<char*>(left.front().iov_base) + now;
      left.front().iov_len -= now;
      skip -= now;
      if (left.front().iov_len == 0) { left = left.subspan(1); }
    }
  }
  offset_ += record_octets(instance.id.str().size(), content.size() + more_content.size());
  ++records_;
  return {};
}

Result<> SegmentFile::reset() {
  SegmentHeader next = header_;
  next.salt = random_salt();
  ++next.generation;
  SP_TRY(sys::pwrite_all(fd_.get(), encode_header(next), 0));
  SP_TRY(data_sync(fd_.get(), name_));
  header_ = next;
  offset_ = kPageOctets;
  records_ = 0;
  return {};
}

Result<> SegmentFile::remove() {
  SP_TRY(reset());
  SP_TRY(sys::unlink(directory_ + '/' + name_));
  return sync_directory(directory_);
}

}  // namespace stagepost::queue::journal
