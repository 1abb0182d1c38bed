// Writes a queue file: creates it under a temporary name, renames it to its queue ID, buffers records, patches records
// that are already there (size, pointers), and hands the finished file to CommitPolicy. Used by cleanup, postdrop and
// local forwarding; knows the format, not what a message should contain.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "queue/directory.hpp"
#include "queue/durability.hpp"
#include "queue/nursery.hpp"
#include "queue/queue_id.hpp"
#include "queue/record.hpp"

namespace stagepost::queue {

class MessageWriter {
 public:
  struct Options {
    IdStyle id_style = IdStyle::short_form;
    mode_t mode = 0600;           ///< While incomplete; never includes owner-execute.
    mode_t complete_mode = 0700;  ///< Owner-execute says complete.
    std::size_t buffer_octets = 64 * 1024;
    Nursery* nursery = nullptr;  ///< where the file comes into being; null: in its queue's directory
  };

  /// A new empty file in `queue`, open for reading and writing, named by its ID. Errors: ENOSPC and the like, as errno.
  [[nodiscard]] static Result<MessageWriter> create(const QueueDirectory& directory, QueueName queue,
                                                    const Options& options);

  MessageWriter(MessageWriter&& other) noexcept;
  MessageWriter& operator=(MessageWriter&&) = delete;
  /// A writer that was neither committed nor discarded is discarded.
  ~MessageWriter();

  [[nodiscard]] const QueueId& id() const { return id_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Time of creation, the one the queue ID was made from.
  [[nodiscard]] ArrivalTime created() const { return created_; }

  /// Appends at the end of the file. Errors of the disk stick and are returned by flush() and by prepare_commit(), so
  /// that the caller may check only there; `failed()` tells early, to stop reading from a client.
  void append(RecordType type, std::string_view data);
  void append_attribute(std::string_view name, std::string_view value);
  /// Records that were formatted elsewhere (record.hpp).
  void append_records(std::string_view records);
  /// After appending the sender: fills its place up to what a pointer needs (at least kPointerRecordOctets in all), so
  /// that a milter's change can be written over it. `data_octets` is the length of the sender.
  void reserve_for_pointer(std::size_t data_octets);
  /// Before appending a header line: the same for the content. `data_octets` is the length of the line.
  void reserve_for_pointer_before(std::size_t data_octets);
  [[nodiscard]] bool failed() const { return !status_.has_value(); }
  [[nodiscard]] const Result<>& status() const { return status_; }

  /// Where the next appended record will be.
  [[nodiscard]] std::int64_t offset() const { return flushed_ + static_cast<std::int64_t>(buffer_.size()); }

  /// Overwrites bytes that were appended before.
  [[nodiscard]] Result<> overwrite(std::int64_t offset, std::string_view bytes);
  /// Overwrites records at `offset` with one that must end where a record ends or where nothing is read (size,
  /// pointer).
  [[nodiscard]] Result<> patch_record(std::int64_t offset, RecordType type, std::string_view data);
  /// Changes one record's type byte, e.g. recipient to cancelled_recipient.
  [[nodiscard]] Result<> patch_type(std::int64_t offset, RecordType type);
  /// Reads back `length` bytes at `offset` (flushes first). For milter edits that must look at the file.
  [[nodiscard]] Result<std::string> read_back(std::int64_t offset, std::size_t length);

  [[nodiscard]] Result<> flush();
  /// Octets that are not in the file yet.
  [[nodiscard]] std::size_t buffered_octets() const { return buffer_.size(); }
  /// flush(), and the bytes that were still in the buffer: the end of the file.
  [[nodiscard]] Result<std::string> flush_and_take();
  /// The descriptor, for a MessageReader on the same file. Call flush() first.
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// Sets both file times (seconds since 1970): qmgr does not look at a message before its modification time.
  [[nodiscard]] Result<> set_times(std::int64_t seconds);

  /// Renames the incomplete file into another queue (a message that turns out to be one to hold).
  [[nodiscard]] Result<> move(const QueueDirectory& directory, QueueName from, QueueName to);

  /// Flushes and hands over the file. Run the job on a thread that may block; then call committed() or discard().
  [[nodiscard]] Result<CommitJob> prepare_commit(const CommitPolicy& policy);
  /// The job succeeded: the file is now the queue's.
  void committed();
  /// Instead of these two, when the bytes are durable by other means (the journal): the mode that says "complete", no
  /// sync. The file is now the queue's.
  [[nodiscard]] Result<> complete();
  /// prepare_commit, run, committed; blocking.
  [[nodiscard]] Result<> commit(const CommitPolicy& policy);
  /// Removes the file.
  void discard() noexcept;

 private:
  MessageWriter(unique_fd fd, std::string path, QueueId id, ArrivalTime created, Options options);

  unique_fd fd_;
  std::string path_;
  QueueId id_;
  ArrivalTime created_;
  Options options_;
  std::string buffer_;
  std::int64_t flushed_ = 0;
  bool armed_ = true;  // The destructor removes the file.
  Result<> status_;
};

}  // namespace stagepost::queue
