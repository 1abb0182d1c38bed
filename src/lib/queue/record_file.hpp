// Reads the records of an open file through a buffer: at any offset, following pointer records or showing them. Memory
// is one buffer plus one record; the time for a file is linear even when its pointers are hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "queue/error.hpp"
#include "queue/record.hpp"

namespace stagepost::queue {

enum class Pointers { follow, show };

class RecordFile {
 public:
  struct Limits {
    std::size_t record_octets = kRecordLimitBytes;
    std::size_t buffer_octets = 16 * 1024;
  };
  struct Item {
    RecordType type{};
    std::string_view data;    ///< Valid until the next call.
    std::int64_t offset = 0;  ///< Of the record itself, after following pointers.
    std::int64_t asked = 0;   ///< Where the read began, before pointers and padding; what postcat -o prints.
    std::int64_t next = 0;    ///< Offset behind the record.
  };

  /// `fd` stays the caller's; `name` is for error messages. Only pread is used, so the file position is not touched.
  /// `file_size`, where it is known: what the file has at least.
  RecordFile(int fd, std::string name) : RecordFile(fd, std::move(name), Limits{}) {}
  RecordFile(int fd, std::string name, Limits limits, std::int64_t file_size = 0);

  /// The next record; nullopt at a clean end of file. With Pointers::follow, pointer and padding records are never
  /// returned.
  [[nodiscard]] Result<std::optional<Item>> next(Pointers pointers = Pointers::follow);
  /// The type byte of what is next, pointers and padding included; nullopt at the end of the file.
  [[nodiscard]] Result<std::optional<RecordType>> peek_type();
  [[nodiscard]] std::int64_t offset() const { return offset_; }
  /// A new walk that begins at `offset`: the file is read afresh, so that changes made by others are seen.
  void seek(std::int64_t offset);
  /// A new walk over what may be buffered already: for a reader that goes through a short file more than once.
  void walk_again(std::int64_t offset) {
    offset_ = offset;
    consumed_ = 0;
  }
  /// Drops what is buffered: the file was changed by its own reader.
  void forget_buffer();
  /// Goes on at `offset` within the same walk; may use what is buffered.
  void jump(std::int64_t offset) { offset_ = offset; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  [[nodiscard]] Result<std::string_view> fill(std::size_t wanted);

  int fd_;
  std::string name_;
  Limits limits_;
  std::string buffer_;
  std::int64_t buffer_offset_ = 0;
  std::int64_t offset_ = 0;
  std::int64_t consumed_ = 0;  // Since seek(); a walk that never reads a byte twice cannot pass the file size.
  std::int64_t file_size_ = 0;
  bool at_end_ = false;  // The buffer reaches to the end of the file.
};

}  // namespace stagepost::queue
