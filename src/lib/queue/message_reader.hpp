// Reads a queue file: the envelope (both the part before the content and the extracted part after it), recipients in
// windows, and the content line by line. Also marks recipients as done. Everything is checked; a damaged file gives an
// error of queue_category(), never a partial message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "queue/directory.hpp"
#include "queue/record.hpp"
#include "queue/record_file.hpp"

namespace stagepost::queue {

/// Bits of the notify_flags attribute (RFC 3461 §4.1). Zero: not given.
enum NotifyFlags : unsigned { kNotifyNever = 1, kNotifySuccess = 2, kNotifyFailure = 4, kNotifyDelay = 8 };
/// Values of the ret_flags attribute (RFC 3461 §4.3). Zero: not given.
enum RetFlags : unsigned { kRetFull = 1, kRetHeaders = 2 };

struct Recipient {
  std::string address;
  std::string original;      ///< Before rewriting and aliasing; empty if not recorded.
  std::string dsn_original;  ///< ORCPT, "rfc822;..." ; empty if none.
  unsigned notify = 0;       ///< NotifyFlags
  std::int64_t offset = 0;   ///< Of its record; pass to mark_done().
};

struct Envelope {
  SizeRecord size;
  /// The file begins with a size record, as every file that cleanup wrote does; submissions in maildrop/ have none.
  bool has_size = false;
  ArrivalTime arrival;
  std::int64_t create_time = 0;  ///< 0 if not recorded.
  std::string sender;
  bool has_sender = false;
  std::string full_name;
  std::string inspector;
  std::string filter;  ///< FILTER action or content_filter: "transport:nexthop".
  std::string redirect;
  std::string verp_delimiters;
  std::string dsn_envid;
  unsigned dsn_ret = 0;  ///< RetFlags
  std::string encoding;
  std::string rewrite_context;
  std::int64_t warn_time = 0;         ///< When to send a delay warning; 0: no warning wanted, kWarningSent: done.
  std::int64_t warn_time_offset = 0;  ///< Of its record, 0 if there is none.
  /// All other attributes, in file order; the last one of a name counts.
  std::vector<std::pair<std::string, std::string>> attributes;
  [[nodiscard]] std::string_view attribute(std::string_view name) const;
};

struct RecipientWindow {
  std::vector<Recipient> recipients;
  /// Pass to the next read_recipients(); nullopt: no more.
  std::optional<std::int64_t> next_offset;
};

struct ContentLine {
  std::string_view text;  ///< Without line end; valid until the next call.
  bool complete = true;   ///< False: the line goes on in the next item.
};

class MessageReader {
 public:
  struct Limits {
    std::size_t record_octets = kRecordLimitBytes;
    std::size_t attributes = 1000;
    std::size_t envelope_octets = 1U << 20U;  ///< Of everything in the envelope but recipients.
    std::size_t address_octets = 64 * 1024;
  };

  /// Opens for reading (and writing, for mark_done). Refuses what is not a regular file. No lock is taken (lock.hpp).
  enum class Access { read, update };
  [[nodiscard]] static Result<MessageReader> open(const std::string& path, Access access) {
    return open(path, access, Limits{});
  }
  [[nodiscard]] static Result<MessageReader> open(const std::string& path, Access access, Limits limits);
  /// On a descriptor that the reader takes over.
  /// `file_size`, where it is known: what the file has at least.
  [[nodiscard]] static MessageReader adopt(unique_fd fd, std::string name, Limits limits, std::int64_t file_size = 0);

  /// All envelope records of both segments, without recipients. Also checks the structure down to the end record; a
  /// file without it is `truncated`. Cost: the content is skipped by the size record when that is right, else read.
  /// Who needs none of Envelope::attributes leaves them out.
  enum class Attributes { keep, skip };
  [[nodiscard]] Result<Envelope> read_envelope(Attributes attributes = Attributes::keep);

  /// At most `limit` (at least 1) recipients that are not done, from `offset` (0: from the first). Each keeps its own
  /// DSN data.
  [[nodiscard]] Result<RecipientWindow> read_recipients(std::int64_t offset, std::size_t limit);

  /// Positions at the first content line.
  [[nodiscard]] Result<> rewind_content(const Envelope& envelope);
  [[nodiscard]] Result<std::optional<ContentLine>> next_line();
  /// A read of the content met damage: no further attempt will get past it.
  [[nodiscard]] bool content_damaged() const { return content_damaged_; }
  /// Appends lines to `out`, each complete one with '\n', until `out` has grown by `octets` or more (at most one record
  /// more). False: that was the end. A last line without end gets none.
  [[nodiscard]] Result<bool> read_content(std::string& out, std::size_t octets);

  /// Changes the recipient record at `offset` to done, in place, with one one-byte write. Fails with bad_record when
  /// there is no recipient record there. Harmless to repeat.
  [[nodiscard]] Result<> mark_done(std::int64_t offset);
  /// Notes in the warn_time record that the warning was sent, in place. Nothing to do without such a record.
  [[nodiscard]] Result<> mark_warning_sent(const Envelope& envelope);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  [[nodiscard]] Result<std::optional<ContentLine>> read_line();
  MessageReader(unique_fd fd, std::string name, Limits limits, std::int64_t file_size);
  [[nodiscard]] Result<> skip_content(std::int64_t content_offset);
  [[nodiscard]] Result<> load_size();

  unique_fd fd_;
  std::string name_;
  Limits limits_;
  RecordFile records_;
  bool content_damaged_ = false;
  std::optional<SizeRecord> size_;
  bool has_size_ = false;
};

}  // namespace stagepost::queue
