#include "cleanup/pickup/submission_file.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "queue/attribute_names.hpp"
#include "queue/error.hpp"

namespace stagepost::pickup {
namespace {

using queue::RecordType;
namespace attr = queue::attr;

constexpr std::size_t kContentBytes = 64 * 1024;
/// What a local user may say about a message; anything else (client_*, sasl_*, log_*) is the mail system's to say.
constexpr std::array kAllowed{attr::rewrite_context, attr::encoding, attr::dsn_envid, attr::dsn_ret, attr::trace_flags};

std::unexpected<Error> damaged(std::string_view what) {
  return queue::queue_failure(queue::QueueErrc::bad_record, std::string(what));
}

}  // namespace

SubmissionFile::SubmissionFile(int fd, std::string name, Origin origin)
    : records_(fd, std::move(name)), origin_(origin) {}

Result<queue::RecordFile::Item> SubmissionFile::next() {
  // Pointers make no sense in a user's submission and could make a small file endless; milters leave them in others.
  const auto pointers = origin_ == Origin::user ? queue::Pointers::show : queue::Pointers::follow;
  SP_TRY(const auto item, records_.next(pointers));
  if (!item) { return queue::queue_failure(queue::QueueErrc::truncated, records_.name()); }
  if (item->type == RecordType::pointer) { return damaged("pointer record in a submission"); }
  return *item;
}

Result<> SubmissionFile::take_attribute(std::string_view data, Submission* submission) {
  const auto attribute = queue::parse_attribute(data);
  if (!attribute) { return damaged("malformed attribute"); }
  if (attribute->name == attr::dsn_notify) {
    const auto flags = text::parse_unsigned(attribute->value);
    if (!flags || *flags > 15) { return damaged("bad notify_flags"); }
    next_recipient_.notify = static_cast<std::uint32_t>(*flags);
  } else if (attribute->name == attr::dsn_original_recipient) {
    next_recipient_.dsn_original = attribute->value;
  } else if (submission != nullptr && origin_ == Origin::requeued && attribute->name == attr::log_ident) {
    submission->original_id = attribute->value;
  } else if (submission != nullptr && attribute->name != attr::create_time &&
             (origin_ == Origin::requeued || std::ranges::find(kAllowed, attribute->name) != kAllowed.end())) {
    submission->attributes.push_back({std::string(attribute->name), std::string(attribute->value)});
  }
  return {};
}

clients::RecipientRecord SubmissionFile::take_recipient(std::string_view address) {
  clients::RecipientRecord recipient = std::exchange(next_recipient_, {});
  recipient.address = address;
  return recipient;
}

Result<Submission> SubmissionFile::read_envelope() {
  Submission submission;
  bool has_sender = false;
  bool has_time = false;
  for (;;) {
    SP_TRY(const auto item, next());
    switch (item.type) {
      case RecordType::time: {
        const auto time = queue::parse_time(item.data);
        if (!time) { return damaged("bad arrival time"); }
        submission.arrival = *time;
        has_time = true;
        break;
      }
      case RecordType::attribute:
        SP_TRY(take_attribute(item.data, &submission));
        break;
      case RecordType::full_name:
        submission.full_name = item.data;
        break;
      case RecordType::verp:
        submission.verp_delimiters = item.data;
        break;
      case RecordType::sender:
        submission.sender = item.data;
        has_sender = true;
        break;
      case RecordType::original_recipient:
        next_recipient_.original = item.data;
        break;
      case RecordType::recipient:
        if (item.data.empty()) { return damaged("empty recipient"); }
        if (submission.recipients.size() >= kMaxRecipients) { return damaged("too many recipients"); }
        submission.recipients.push_back(take_recipient(item.data));
        break;
      case RecordType::content_start:
        if (!has_sender || !has_time) { return damaged("no sender or arrival time"); }
        return submission;
      case RecordType::size:
      case RecordType::padding:
      case RecordType::warn_time:
        break;
      case RecordType::done_recipient:
      case RecordType::cancelled_recipient:
        if (origin_ == Origin::user) { return damaged("unexpected record type"); }
        next_recipient_ = {};
        break;
      default:
        // What else a queue file may hold (filter, redirect ...) is decided afresh.
        if (origin_ == Origin::user) { return damaged("unexpected record type"); }
    }
  }
}

Result<std::string> SubmissionFile::read_content() {
  std::string bytes;
  while (!content_ended_ && bytes.size() < kContentBytes) {
    SP_TRY(const auto item, next());
    switch (item.type) {
      case RecordType::line:
        bytes += item.data;
        bytes += '\n';
        break;
      case RecordType::partial_line:
        bytes += item.data;
        break;
      case RecordType::extracted_start:
        content_ended_ = true;
        break;
      default:
        return damaged("unexpected record type in content");
    }
  }
  return bytes;
}

Result<std::vector<clients::RecipientRecord>> SubmissionFile::read_extracted() {
  std::vector<clients::RecipientRecord> recipients;
  for (;;) {
    SP_TRY(const auto item, next());
    switch (item.type) {
      case RecordType::attribute:
        SP_TRY(take_attribute(item.data, nullptr));
        break;
      case RecordType::original_recipient:
        next_recipient_.original = item.data;
        break;
      case RecordType::recipient:
        if (item.data.empty()) { return damaged("empty recipient"); }
        if (recipients.size() >= kMaxRecipients) { return damaged("too many recipients"); }
        recipients.push_back(take_recipient(item.data));
        break;
      case RecordType::end:
        return recipients;
      case RecordType::full_name:
      case RecordType::padding:
        break;
      case RecordType::done_recipient:
      case RecordType::cancelled_recipient:
        if (origin_ == Origin::user) { return damaged("unexpected record type after content"); }
        next_recipient_ = {};
        break;
      default:
        if (origin_ == Origin::user) { return damaged("unexpected record type after content"); }
    }
  }
}

}  // namespace stagepost::pickup
