// Message content as it goes into a mailbox file, a Maildir file or a command: LF line ends, fields that delivery adds,
// mbox quoting.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::delivery {

struct CopyOptions {
  /// Lines in front of the content, without LF: "From sender  date", "Return-Path: <...>", "Delivered-To: ...".
  std::vector<std::string> prepend;
  /// mbox: ">" before body lines that start with "From " (mailbox(5)), and an empty line at the end.
  bool mbox = false;
};

/// Where content goes: appends the bytes or fails (disk full, size limit).
class ContentTarget {
 public:
  virtual ~ContentTarget() = default;
  [[nodiscard]] virtual Result<> write(std::string_view bytes) = 0;
};

/// A file or pipe. Stops with file_too_large when more than `limit_bytes` would be written in all (0: no limit).
class FdTarget final : public ContentTarget {
 public:
  FdTarget(int fd, std::uint64_t limit_bytes) : fd_(fd), limit_bytes_(limit_bytes) {}
  [[nodiscard]] Result<> write(std::string_view bytes) override;

 private:
  int fd_;
  std::uint64_t limit_bytes_;
  std::uint64_t written_ = 0;
};

/// Copies the whole content in large writes. Errors: of the queue file (queue_category()) or of the target.
[[nodiscard]] Result<> copy_content(queue::MessageReader& reader, const queue::Envelope& envelope,
                                    const CopyOptions& options, ContentTarget& target);

/// The fields every local delivery puts in front (mbox's "From " line not included), for `address` as delivered to.
/// X-Original-To only when `original` is not empty.
[[nodiscard]] std::vector<std::string> delivery_fields(std::string_view sender, std::string_view original,
                                                       std::string_view address);
/// "From sender  Sun Nov 22 12:58:28 2026": asctime form, local time; MAILER-DAEMON for the null sender.
[[nodiscard]] std::string mbox_from_line(std::string_view sender);

}  // namespace stagepost::delivery
