#include "queue/message_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.hpp"
#include "base/sys.hpp"
#include "queue/error.hpp"

namespace stagepost::queue {
namespace {

ArrivalTime now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return {time.tv_sec, static_cast<std::int32_t>(time.tv_nsec / 1000)};
}

// Most messages and their envelope fit, so that the buffer does not grow step by step.
constexpr std::size_t kUsualOctets = 8 * 1024;

// Several sessions of one process create files, so the same microsecond can come twice.
constexpr int kCreateAttempts = 100;

}  // namespace

Result<MessageWriter> MessageWriter::create(const QueueDirectory& directory, QueueName queue, const Options& options) {
  SP_ASSERT((options.mode & 0111U) == 0);
  for (int attempt = 0;; ++attempt) {
    const ArrivalTime time = now();
    const std::string name = '/' + std::to_string(time.microseconds) + '.' + std::to_string(::getpid());
    std::string temporary = (options.nursery != nullptr ? options.nursery->next() : directory.path(queue)) + name;
    auto fd = sys::open(temporary, O_RDWR | O_CREAT | O_EXCL, options.mode);
    if (!fd && options.nursery != nullptr && fd.error().is(std::errc::no_such_file_or_directory)) {
      temporary = directory.path(queue) + name;
      fd = sys::open(temporary, O_RDWR | O_CREAT | O_EXCL, options.mode);
    }
    if (!fd) {
      if (fd.error().is(std::errc::file_exists) && attempt < kCreateAttempts) {
        ::usleep(1);
        continue;
      }
      return std::unexpected(std::move(fd).error());
    }
    const auto named = [&]() -> Result<QueueId> {
      SP_TRY(const auto status, sys::fstat(fd->get()));
      const auto microseconds = static_cast<std::uint32_t>(time.microseconds);
      const QueueId id = options.id_style == IdStyle::long_form
                             ? QueueId::make_long(time.seconds, microseconds, status.st_ino)
                             : QueueId::make_short(microseconds, status.st_ino);
      const std::string target = directory.path(queue, id);
      auto renamed = sys::rename(temporary, target);
      if (!renamed && renamed.error().is(std::errc::no_such_file_or_directory) &&
          directory.hashing().applies_to(queue)) {
        SP_TRY(directory.make_hash_path(queue, id));
        renamed = sys::rename(temporary, target);
      }
      if (!renamed) { return std::unexpected(std::move(renamed).error()); }
      return id;
    }();
    if (!named) {
      static_cast<void>(sys::unlink(temporary));
      return std::unexpected(named.error());
    }
    return MessageWriter(*std::move(fd), directory.path(queue, *named), *named, time, options);
  }
}

MessageWriter::MessageWriter(unique_fd fd, std::string path, QueueId id, ArrivalTime created, Options options)
    : fd_(std::move(fd)), path_(std::move(path)), id_(std::move(id)), created_(created), options_(options) {
  buffer_.reserve(std::min(options_.buffer_octets, kUsualOctets));
}

MessageWriter::MessageWriter(MessageWriter&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::move(other.path_)),
      id_(std::move(other.id_)),
      created_(other.created_),
      options_(other.options_),
      buffer_(std::move(other.buffer_)),
      flushed_(other.flushed_),
      armed_(std::exchange(other.armed_, false)),
      status_(std::move(other.status_)) {}

MessageWriter::~MessageWriter() { discard(); }

void MessageWriter::append(RecordType type, std::string_view data) {
  append_record(buffer_, type, data);
  if (buffer_.size() >= options_.buffer_octets) {
    static_cast<void>(flush());  // The error stays in status_.
  }
}

void MessageWriter::append_records(std::string_view records) {
  buffer_ += records;
  if (buffer_.size() >= options_.buffer_octets) {
    static_cast<void>(flush());  // The error stays in status_.
  }
}

void MessageWriter::append_attribute(std::string_view name, std::string_view value) {
  queue::append_attribute(buffer_, name, value);
  if (buffer_.size() >= options_.buffer_octets) { static_cast<void>(flush()); }
}

void MessageWriter::reserve_for_pointer(std::size_t data_octets) {
  const std::size_t used = record_octets(data_octets);
  if (used < kPointerRecordOctets) {
    append_null_pointer(buffer_, std::max<std::size_t>(kPointerRecordOctets - used, 3));
  }
}

void MessageWriter::reserve_for_pointer_before(std::size_t data_octets) {
  const std::size_t used = record_octets(data_octets);
  if (used < kPointerRecordOctets) { append_padding(buffer_, std::max<std::size_t>(kPointerRecordOctets - used, 2)); }
}

Result<> MessageWriter::flush() {
  if (status_ && !buffer_.empty()) {
    status_ = sys::pwrite_all(fd_.get(), buffer_, flushed_);
    if (!status_) { status_.error() = std::move(status_.error()).within(path_); }
  }
  // After an error offset() still counts, but nothing is kept in memory.
  flushed_ += static_cast<std::int64_t>(buffer_.size());
  buffer_.clear();
  return status_;
}

Result<std::string> MessageWriter::flush_and_take() {
  std::string bytes = std::exchange(buffer_, {});
  if (status_ && !bytes.empty()) {
    status_ = sys::pwrite_all(fd_.get(), bytes, flushed_);
    if (!status_) { status_.error() = std::move(status_.error()).within(path_); }
  }
  flushed_ += static_cast<std::int64_t>(bytes.size());
  if (!status_) { return std::unexpected(status_.error()); }
  return bytes;
}

Result<> MessageWriter::complete() {
  SP_TRY(flush());
  auto changed = sys::fchmod(fd_.get(), options_.complete_mode);
  if (!changed) { return std::unexpected(std::move(changed).error().within(path_)); }
  fd_.reset();
  committed();
  return {};
}

Result<> MessageWriter::overwrite(std::int64_t offset, std::string_view bytes) {
  if (!status_) { return status_; }
  SP_ASSERT(offset >= 0 && offset + static_cast<std::int64_t>(bytes.size()) <= this->offset());
  if (offset >= flushed_) {
    buffer_.replace(static_cast<std::size_t>(offset - flushed_), bytes.size(), bytes);
    return {};
  }
  SP_TRY(flush());
  status_ = sys::pwrite_all(fd_.get(), bytes, offset);
  return status_;
}

Result<> MessageWriter::patch_record(std::int64_t offset, RecordType type, std::string_view data) {
  std::string record;
  append_record(record, type, data);
  return overwrite(offset, record);
}

Result<> MessageWriter::patch_type(std::int64_t offset, RecordType type) {
  const char byte = static_cast<char>(type);
  return overwrite(offset, std::string_view(&byte, 1));
}

Result<std::string> MessageWriter::read_back(std::int64_t offset, std::size_t length) {
  SP_TRY(flush());
  std::string out(length, '\0');
  std::size_t have = 0;
  while (have < length) {
    SP_TRY(const auto got,
           sys::pread(fd_.get(), std::span(out).subspan(have), offset + static_cast<std::int64_t>(have)));
    if (got == 0) { return queue_failure(QueueErrc::truncated, path_); }
    have += got;
  }
  return out;
}

Result<> MessageWriter::set_times(std::int64_t seconds) {
  SP_TRY(flush());  // A later write would change the time again.
  const timespec time{static_cast<time_t>(seconds), 0};
  const timespec times[2] = {time, time};
  if (::futimens(fd_.get(), times) != 0) { return errno_failure("set times of " + path_); }
  return {};
}

Result<> MessageWriter::move(const QueueDirectory& directory, QueueName from, QueueName to) {
  SP_TRY(directory.move(id_, from, to));
  path_ = directory.path(to, id_);
  return {};
}

Result<CommitJob> MessageWriter::prepare_commit(const CommitPolicy& policy) {
  SP_TRY(flush());
  return policy.job(std::move(fd_), path_, options_.mode, options_.complete_mode);
}

void MessageWriter::committed() { armed_ = false; }

Result<> MessageWriter::commit(const CommitPolicy& policy) {
  SP_TRY(auto job, prepare_commit(policy));
  SP_TRY(job.run());
  committed();
  return {};
}

void MessageWriter::discard() noexcept {
  if (std::exchange(armed_, false)) { ::unlink(path_.c_str()); }
  fd_.reset();
}

}  // namespace stagepost::queue
