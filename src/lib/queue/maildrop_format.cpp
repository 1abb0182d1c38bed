#include "queue/maildrop_format.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "queue/attribute_names.hpp"

namespace stagepost::queue {
namespace {

void append_recipients(std::string& out, const std::vector<std::string>& recipients, unsigned notify) {
  for (const auto& recipient : recipients) {
    if (notify != 0) { append_attribute(out, attr::dsn_notify, std::to_string(notify)); }
    append_record(out, RecordType::recipient, recipient);
  }
}

// What a local user may say about a message. The rest (who the client was, log data) is for daemons.
bool user_may_set(std::string_view attribute) {
  constexpr std::array kAllowed{attr::dsn_envid, attr::dsn_ret,         attr::dsn_notify, attr::dsn_original_recipient,
                                attr::encoding,  attr::rewrite_context, attr::trace_flags};
  return std::ranges::find(kAllowed, attribute) != kAllowed.end();
}

}  // namespace

std::string format_submission_envelope(const Submission& submission) {
  std::string out;
  if (!submission.dsn_envid.empty()) { append_attribute(out, attr::dsn_envid, submission.dsn_envid); }
  if (submission.dsn_ret != 0) { append_attribute(out, attr::dsn_ret, std::to_string(submission.dsn_ret)); }
  append_attribute(out, attr::rewrite_context, submission.gateway ? "remote" : "local");
  if (!submission.full_name.empty()) { append_record(out, RecordType::full_name, submission.full_name); }
  append_record(out, RecordType::sender, submission.sender);
  if (!submission.encoding.empty()) { append_attribute(out, attr::encoding, submission.encoding); }
  if (submission.trace_flags != 0) { append_attribute(out, attr::trace_flags, std::to_string(submission.trace_flags)); }
  if (!submission.verp_delimiters.empty()) { append_record(out, RecordType::verp, submission.verp_delimiters); }
  append_recipients(out, submission.recipients, submission.notify);
  append_record(out, RecordType::content_start, "");
  return out;
}

std::string format_submission_end(const std::vector<std::string>& extracted_recipients, unsigned notify) {
  std::string out;
  append_record(out, RecordType::extracted_start, "");
  append_recipients(out, extracted_recipients, notify);
  append_record(out, RecordType::end, "");
  return out;
}

void append_content_line(std::string& out, std::string_view line, std::size_t line_limit, bool ended) {
  SP_ASSERT(line_limit > 0);
  // A line of exactly the limit is cut too, with an empty rest: the limit is reached before the line end is seen.
  while (line.size() >= line_limit) {
    append_record(out, RecordType::partial_line, line.substr(0, line_limit));
    line.remove_prefix(line_limit);
    if (line.empty() && !ended) { return; }
  }
  append_record(out, ended ? RecordType::line : RecordType::partial_line, line);
}

SubmissionCheck::Verdict SubmissionCheck::refuse(std::string_view reason) {
  reason_ = reason;
  return Verdict::refuse;
}

SubmissionCheck::Verdict SubmissionCheck::check_envelope(const RecordView& record) {
  switch (record.type) {
    case RecordType::attribute: {
      const auto attribute = parse_attribute(record.data);
      if (!attribute) { return refuse("malformed attribute"); }
      return user_may_set(attribute->name) ? Verdict::keep : Verdict::drop;
    }
    case RecordType::sender:
      if (sender_ || part_ != Part::envelope) { return refuse("more than one sender"); }
      sender_ = true;
      return Verdict::keep;
    case RecordType::recipient:
      ++recipients_;
      return Verdict::keep;
    case RecordType::time:
    case RecordType::full_name:
    case RecordType::verp:
    case RecordType::original_recipient:
      return Verdict::keep;
    case RecordType::pointer:
      return refuse("pointer record");
    case RecordType::line:
      return refuse("content out of place");
    // Set by postsuper -r from the old queue file or by an old version; the message is processed afresh.
    default:
      return Verdict::drop;
  }
}

SubmissionCheck::Verdict SubmissionCheck::check(const RecordView& record) {
  // No text of an address or attribute has NUL or a line break; with one it could forge a log line or a header.
  const bool text = record.type == RecordType::line || record.type == RecordType::partial_line;
  if (part_ != Part::content && !text &&
      record.data.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
    return refuse("control character in envelope");
  }
  switch (part_) {
    case Part::envelope:
      if (record.type == RecordType::content_start) {
        if (!sender_) { return refuse("no sender"); }
        part_ = Part::content;
        return Verdict::keep;
      }
      if (record.type == RecordType::extracted_start || record.type == RecordType::end) { return refuse("no content"); }
      return check_envelope(record);
    case Part::content:
      if (record.type == RecordType::extracted_start) {
        part_ = Part::extracted;
        return Verdict::keep;
      }
      return text ? Verdict::keep : refuse("record out of place in content");
    case Part::extracted:
      if (record.type == RecordType::end) {
        part_ = Part::ended;
        return recipients_ > 0 ? Verdict::finish : refuse("no recipients");
      }
      if (record.type == RecordType::content_start || record.type == RecordType::extracted_start) {
        return refuse("second content");
      }
      return check_envelope(record);
    case Part::ended:
      break;
  }
  return refuse("data behind the end");
}

}  // namespace stagepost::queue
