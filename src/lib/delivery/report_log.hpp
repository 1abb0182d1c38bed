// The log files of the bounce, defer and trace services (bounce/ID, defer/X/ID, trace/ID): what became of each
// recipient, kept until a report is sent. The format is Postfix's, so that its bounce and showq read ours and ours read
// its. An entry is a line for people, "name=value" lines, and empty lines around it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "clients/bounce.hpp"

namespace stagepost::delivery {

using clients::RecipientReport;

/// "failed", "delayed", ... as RFC 3464 §2.3.3 and Postfix write it.
[[nodiscard]] std::string_view action_word(RecipientReport::Action action);

/// Parameter backwards_bounce_logfile_compatibility: with the line for people, or without.
enum class ReadableLine { yes, no };
/// One entry. Control characters become '?', so that a value cannot add lines.
[[nodiscard]] std::string format_entry(const RecipientReport& report, ReadableLine readable);

/// Builds entries from lines. Unknown names are skipped; an entry without recipient takes it (and the reason) from the
/// line for people; one without either is dropped. Pure.
class ReportLogParser {
 public:
  /// The next line, without line end. An entry comes with the empty line that ends it.
  [[nodiscard]] std::optional<RecipientReport> feed(std::string_view line);
  /// End of file: the entry that was not ended, if it has a recipient.
  [[nodiscard]] std::optional<RecipientReport> finish();

 private:
  void take_attribute(std::string_view name, std::string_view value);

  bool started_ = false;
  RecipientReport entry_;
  std::string readable_address_;
  std::string readable_reason_;
};

/// Reads a log entry by entry, with bounded memory: the rest of a line beyond kReportLineOctets is dropped.
inline constexpr std::size_t kReportLineOctets = 64 * 1024;
class ReportLogReader {
 public:
  /// no_such_file_or_directory when there is no log.
  [[nodiscard]] static Result<ReportLogReader> open(const std::string& path);
  /// nullopt at the end.
  [[nodiscard]] Result<std::optional<RecipientReport>> next();
  [[nodiscard]] Result<> rewind();
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit ReportLogReader(unique_fd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<bool> fill();

  unique_fd fd_;
  ReportLogParser parser_;
  std::string buffer_;
  std::size_t start_ = 0;
  std::string long_line_;  // the kept part of a line that is longer than the buffer
  bool ended_ = false;
  bool at_end_ = false;  // of the file
};

/// Appends one entry, all or nothing, under the file's exclusive lock; the file is made (mode 0600) when missing, its
/// directory is not. resource_unavailable_try_again when another process holds the lock.
[[nodiscard]] Result<> append_entry(const std::string& path, const RecipientReport& report, ReadableLine readable);
/// What was appended is on stable storage afterwards. A log that is gone (its report was sent) needs none. Blocks.
[[nodiscard]] Result<> sync_log(const std::string& path);

/// Appends those of `reports` whose recipient the log at `path` does not name yet.
[[nodiscard]] Result<> append_missing_entries(const std::string& path, const std::vector<RecipientReport>& reports,
                                              ReadableLine readable);

}  // namespace stagepost::delivery
