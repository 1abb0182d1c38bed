#include "queue/record_file.hpp"

#include <algorithm>

#include "base/sys.hpp"

namespace stagepost::queue {

namespace {

/// For messages about damage.
std::string number_of(RecordType type) { return std::to_string(static_cast<unsigned char>(type)); }

}  // namespace

RecordFile::RecordFile(int fd, std::string name, Limits limits, std::int64_t file_size)
    : fd_(fd), name_(std::move(name)), limits_(limits), file_size_(file_size) {}

void RecordFile::seek(std::int64_t offset) {
  walk_again(offset);
  forget_buffer();
}

void RecordFile::forget_buffer() {
  buffer_.clear();
  buffer_offset_ = offset_;
  at_end_ = false;
}

// At least `wanted` bytes at offset_, fewer only at the end of the file.
Result<std::string_view> RecordFile::fill(std::size_t wanted) {
  const auto inside = offset_ - buffer_offset_;
  if (inside < 0 || inside > static_cast<std::int64_t>(buffer_.size())) { forget_buffer(); }
  auto start = static_cast<std::size_t>(offset_ - buffer_offset_);
  if (buffer_.size() - start >= wanted || at_end_) { return std::string_view(buffer_).substr(start); }
  buffer_.erase(0, start);
  buffer_offset_ = offset_;
  // One octet more than a short file has shows that it ends there.
  const auto rest = static_cast<std::size_t>(std::max<std::int64_t>(file_size_ - offset_, 0)) + 1;
  const std::size_t target =
      std::max(wanted, file_size_ > 0 ? std::min(limits_.buffer_octets, rest) : limits_.buffer_octets);
  while (buffer_.size() < wanted) {
    const std::size_t have = buffer_.size();
    Result<std::size_t> got = 0;
    // Not filled with zeros first.
    buffer_.resize_and_overwrite(target, [&](char* bytes, std::size_t size) {
      got = sys::pread(fd_, std::span(bytes, size).subspan(have), buffer_offset_ + static_cast<off_t>(have));
      return have + (got ? *got : 0);
    });
    if (!got) { return std::unexpected(Error(got.error()).within(name_)); }
    // A regular file gives less than what was asked for only at its end.
    if (buffer_.size() < target) {
      at_end_ = true;
      break;
    }
  }
  return std::string_view(buffer_);
}

Result<std::optional<RecordType>> RecordFile::peek_type() {
  SP_TRY(const auto bytes, fill(1));
  if (bytes.empty()) { return std::nullopt; }
  return static_cast<RecordType>(bytes[0]);
}

Result<std::optional<RecordFile::Item>> RecordFile::next(Pointers pointers) {
  const std::int64_t asked = offset_;
  for (;;) {
    SP_TRY(auto bytes, fill(kRecordHeaderMaxBytes));
    if (bytes.empty()) { return std::nullopt; }
    const auto type = static_cast<RecordType>(bytes[0]);
    const auto header = parse_record_header(bytes, limits_.record_octets);
    if (!header) {
      if (header.error() == RecordError::incomplete) {
        return queue_failure(QueueErrc::truncated,
                             name_ + ": unexpected EOF reading length, record type " + number_of(type));
      }
      return queue_failure(QueueErrc::bad_length, name_ + ": illegal length, record type " + number_of(type));
    }
    const std::size_t octets = header->header_octets + header->data_octets;
    SP_TRY(bytes, fill(octets));
    if (bytes.size() < octets) {
      return queue_failure(QueueErrc::truncated, name_ + ": unexpected EOF in data, record type " + number_of(type) +
                                                     " length " + std::to_string(header->data_octets));
    }
    Item item{.type = header->type,
              .data = bytes.substr(header->header_octets, header->data_octets),
              .offset = offset_,
              .asked = asked,
              .next = offset_ + static_cast<std::int64_t>(octets)};
    // Pointers chain records together but never visit one twice, so a walk reads no more than the file holds. Twice
    // that is allowed, because a reader may try a short cut first and then go the long way.
    consumed_ += static_cast<std::int64_t>(octets);
    if (consumed_ > file_size_) {
      SP_TRY(const auto status, sys::fstat(fd_));
      file_size_ = status.st_size;
      if (consumed_ / 2 > file_size_) {
        return queue_failure(QueueErrc::bad_pointer, name_ + ": loop at offset " + std::to_string(offset_));
      }
    }
    if (pointers == Pointers::show) {
      offset_ = item.next;
      return item;
    }
    if (item.type == RecordType::pointer) {
      const auto target = parse_pointer(item.data);
      if (!target) {
        return queue_failure(QueueErrc::bad_pointer,
                             name_ + ": malformed pointer record value: " + std::string(item.data.substr(0, 100)));
      }
      offset_ = *target != 0 ? *target : item.next;
      continue;
    }
    offset_ = item.next;
    if (item.type != RecordType::padding) { return item; }
  }
}

}  // namespace stagepost::queue
