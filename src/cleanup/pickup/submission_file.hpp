// Reads a file of the maildrop queue: what postdrop left there on behalf of a local user. Such a file is input like any
// other: records come in the documented order, nothing but submissions may be in it, everything is bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "clients/recipient.hpp"
#include "queue/record_file.hpp"

namespace stagepost::pickup {

/// Who wrote the file: any local user through postdrop, or the mail system itself (postsuper -r moves whole queue files
/// here, with done recipients and every attribute).
enum class Origin { user, requeued };

struct Submission {
  queue::ArrivalTime arrival;
  std::string sender;
  std::string full_name;
  std::string verp_delimiters;                 ///< empty: no VERP; cleanup checks them
  std::string original_id;                     ///< queue ID before requeueing (log_ident); empty for a user's file
  std::vector<clients::Attribute> attributes;  ///< of a user's file only those a user may set
  std::vector<clients::RecipientRecord> recipients;
};

/// Parser of one maildrop file, in two steps, since recipients may also follow the content (sendmail -t).
class SubmissionFile {
 public:
  /// At most this many recipients of one submission; more is damage.
  static constexpr std::size_t kMaxRecipients = 1'000'000;

  SubmissionFile(int fd, std::string name, Origin origin);
  /// Envelope: everything before the content.
  [[nodiscard]] Result<Submission> read_envelope();
  /// The next run of content, at most about 64 KiB, lines ended by LF; empty at the end of the content.
  [[nodiscard]] Result<std::string> read_content();
  /// Recipients behind the content, down to the end record.
  [[nodiscard]] Result<std::vector<clients::RecipientRecord>> read_extracted();

 private:
  [[nodiscard]] Result<queue::RecordFile::Item> next();
  [[nodiscard]] Result<> take_attribute(std::string_view data, Submission* submission);
  [[nodiscard]] clients::RecipientRecord take_recipient(std::string_view address);

  queue::RecordFile records_;
  Origin origin_;
  bool content_ended_ = false;
  clients::RecipientRecord next_recipient_;  // DSN data that precedes the address
};

}  // namespace stagepost::pickup
