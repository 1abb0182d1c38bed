// The submission file in maildrop/: what sendmail hands to postdrop and pickup reads. The same records as other queue
// files, without a size record, and with few types, because anyone on the host can write one. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/message_reader.hpp"
#include "queue/record.hpp"

namespace stagepost::queue {

/// The trace_flags attribute.
inline constexpr unsigned kTraceProbe = 512;    ///< sendmail -bv: report deliverability, deliver nothing.
inline constexpr unsigned kTraceReport = 1024;  ///< sendmail -v: deliver and report.

struct Submission {
  std::string dsn_envid;  ///< sendmail -V
  unsigned dsn_ret = 0;   ///< RetFlags, sendmail -R
  std::string full_name;  ///< sendmail -F
  std::string sender;     ///< As given; rewritten later.
  std::string encoding;   ///< "7bit", "8bit" or empty, sendmail -B
  bool gateway = false;   ///< sendmail -G: addresses are completed as in mail from outside
  unsigned trace_flags = 0;
  std::string verp_delimiters;
  unsigned notify = 0;  ///< NotifyFlags for each recipient, sendmail -N
  std::vector<std::string> recipients;
};

/// Records up to and including content_start. postdrop puts the time record in front.
[[nodiscard]] std::string format_submission_envelope(const Submission& submission);
/// Records behind the content: recipients taken from the header (sendmail -t), then the end.
[[nodiscard]] std::string format_submission_end(const std::vector<std::string>& extracted_recipients, unsigned notify);
/// Appends one line of content in pieces of at most `line_limit` bytes (line_length_limit, at least 1). With `ended`
/// false (end of input without newline) the last piece is a partial line.
void append_content_line(std::string& out, std::string_view line, std::size_t line_limit, bool ended = true);

/// Checks a submission record by record, for postdrop (what a user sends) and pickup (what lies in the directory).
class SubmissionCheck {
 public:
  enum class Verdict {
    keep,    ///< Write it.
    drop,    ///< Leave it out and go on: a record that only a trusted program may set, or one we do not know.
    finish,  ///< The end record: write it, nothing may follow.
    refuse   ///< Not a submission; reason() says why.
  };
  [[nodiscard]] Verdict check(const RecordView& record);
  [[nodiscard]] std::string_view reason() const { return reason_; }
  [[nodiscard]] std::size_t recipients() const { return recipients_; }

 private:
  enum class Part { envelope, content, extracted, ended };
  [[nodiscard]] Verdict refuse(std::string_view reason);
  [[nodiscard]] Verdict check_envelope(const RecordView& record);

  Part part_ = Part::envelope;
  bool sender_ = false;
  std::size_t recipients_ = 0;
  std::string_view reason_;
};

}  // namespace stagepost::queue
