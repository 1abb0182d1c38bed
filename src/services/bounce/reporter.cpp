#include "services/bounce/reporter.hpp"

#include "base/text.hpp"
#include "log/log.hpp"
#include "mail/received.hpp"
#include "mail/verp.hpp"
#include "queue/attribute_names.hpp"

namespace stagepost::bounce {
namespace {

/// Bytes of the original read from the file at a time.
constexpr std::size_t kChunkOctets = 64 * 1024;
/// Most recipients for which a missing defer log is made up.
constexpr std::size_t kExpiredRecipients = 1000;

std::string_view describe(Subject subject) {
  switch (subject) {
    case Subject::failure:
      return "non-delivery";
    case Subject::delay:
      return "delay";
    case Subject::success:
    case Subject::requested:
      break;
  }
  return "delivery status";
}

std::string_view describe(clients::CleanupResult::Status status) {
  return status == clients::CleanupResult::Status::too_large ? "message too large" : "not accepted by cleanup";
}

/// Octets of `chunk` before the empty line that ends the header; npos when it is not there. `at_start`: the chunk
/// begins at the beginning of a line.
std::size_t header_end(std::string_view chunk, bool at_start) {
  if (at_start && chunk.starts_with('\n')) { return 0; }
  const std::size_t at = chunk.find("\n\n");
  return at == std::string_view::npos ? at : at + 1;
}

}  // namespace

Reporter::Reporter(net::EventLoop& loop, const config::Snapshot& config, queue::QueueDirectory directory)
    : directory_(std::move(directory)),
      policy_(NoticePolicy::from(config)),
      text_(TextSettings::from(config)),
      cleanup_flags_(clients::kCleanupMap),
      cleanup_(loop, config) {
  for (const std::string& name : config.list("internal_mail_filter_classes")) {
    if (name == "bounce") { cleanup_flags_ |= clients::kCleanupFilter | clients::kCleanupMilter; }
  }
}

Result<Reporter::Original> Reporter::open(const clients::ReportedMessage& message) const {
  const auto id = queue::QueueId::parse(message.queue_id);
  const auto name = queue::queue_name(message.queue_name);
  if (!id || !name || !queue::holds_messages(*name)) { return failure("no queue file", std::errc::bad_message); }
  SP_TRY(auto reader, queue::MessageReader::open(directory_.path(*name, *id), queue::MessageReader::Access::read));
  SP_TRY(auto envelope, reader.read_envelope());
  return Original{std::move(reader), std::move(envelope)};
}

bool Reporter::wants_every_outcome(const clients::ReportedMessage& message) const {
  const auto original = open(message);
  if (!original) { return false; }
  const auto flags = text::parse_unsigned(original->envelope.attribute(queue::attr::trace_flags));
  return flags.value_or(0) != 0;
}

Result<std::vector<clients::RecipientReport>> Reporter::expired_recipients(
    const clients::ReportedMessage& message) const {
  SP_TRY(auto original, open(message));
  SP_TRY(const auto window, original.reader.read_recipients(0, kExpiredRecipients));
  std::vector<clients::RecipientReport> reports;
  for (const auto& recipient : window.recipients) {
    reports.push_back({.recipient = clients::RecipientRecord::from(recipient),
                       .action = clients::RecipientReport::Action::failed,
                       .status = "4.4.7",  // RFC 3463 §3.5
                       .reason = "delivery time expired"});
  }
  return reports;
}

net::Task<Result<>> Reporter::report(Subject subject, const clients::ReportedMessage& message, Entries& entries) {
  auto original = open(message);
  if (!original) {
    log::warning("{}: original message is not available: {}", message.queue_id, original.error().message());
  }
  Report report{.subject = subject,
                .queue_id = message.queue_id,
                .sender = message.sender,
                .dsn_envid = message.dsn_envid,
                .encoding = message.encoding,
                .smtputf8 = message.smtputf8};
  ReportedSender sender{.address = message.sender, .ret = message.dsn_ret};
  if (original) {
    report.arrival = std::chrono::sys_seconds(std::chrono::seconds(original->envelope.arrival.seconds));
    sender.message_size = original->envelope.size.message_size;
  }
  const NoticePlan plan = plan_notices(policy_, subject, sender);
  if (plan.undeliverable_notification) {
    log::warning("{}: undeliverable postmaster notification discarded", message.queue_id);
  }
  for (const Notice& notice : plan.notices) {
    report.audience = notice.audience;
    report.returned = notice.returned;
    report.recipient = notice.recipient;
    const bool each = subject == Subject::failure && notice.audience == Audience::sender &&
                      message.verp_delimiters.size() == 2 && !message.sender.empty();
    Original* const file = original ? &*original : nullptr;
    if (each) {
      const auto done = co_await notify_each(notice, report, message.verp_delimiters, entries, file);
      if (!done) { co_return done; }
    } else {
      const auto done = co_await notify(notice, report, entries, file);
      if (!done) { co_return done; }
    }
  }
  co_return Result<>{};
}

/// One notice, with its line in the log.
net::Task<Result<>> Reporter::notify(const Notice& notice, const Report& report, Entries& entries, Original* original) {
  const std::string_view audience = notice.audience == Audience::sender ? "sender" : "postmaster";
  const auto sent = co_await send(notice, report, entries, original);
  if (!sent) {
    log::warning("{}: {} {} notification not sent: {}", report.queue_id, audience, describe(report.subject),
                 sent.error().message());
    if (notice.required) { co_return std::unexpected(sent.error()); }
  } else if (!sent->empty()) {
    log::info("{}: {} {} notification: {}", report.queue_id, audience, describe(report.subject), *sent);
  }
  co_return Result<>{};
}

/// VERP: a notice for each recipient, to the sender address that was made for it.
net::Task<Result<>> Reporter::notify_each(Notice notice, Report report, std::string verp_delimiters, Entries& entries,
                                          Original* original) {
  SP_CO_TRY(entries.rewind());
  for (;;) {
    SP_CO_TRY(auto entry, entries.next());
    if (!entry) { co_return Result<>{}; }
    const clients::RecipientRecord& recipient = entry->recipient;
    notice.recipient = mail::verp_sender(report.sender, verp_delimiters,
                                         recipient.original.empty() ? recipient.address : recipient.original);
    report.recipient = notice.recipient;
    ListedEntries one({std::move(*entry)});
    const auto done = co_await notify(notice, report, one, original);
    if (!done) { co_return done; }
  }
}

/// The queue ID of the report; empty when there is nothing to tell this audience.
net::Task<Result<std::string>> Reporter::send(const Notice& notice, const Report& plan, Entries& entries,
                                              Original* original) {
  Report report = plan;
  report.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto concerns = [&report](const clients::RecipientReport& entry) {
    return report.audience == Audience::postmaster || sender_wants(report.subject, entry.recipient.notify);
  };
  SP_CO_TRY(entries.rewind());
  for (;;) {
    SP_CO_TRY(const auto entry, entries.next());
    if (!entry) { co_return std::string(); }
    if (concerns(*entry)) { break; }
  }

  clients::CleanupOpen open{.flags = cleanup_flags_ | (report.smtputf8 ? clients::kCleanupSmtpUtf8 : 0U),
                            .sender = notice.envelope_sender,
                            .attributes = {{std::string(queue::attr::log_message_origin), "local"},
                                           {std::string(queue::attr::rewrite_context), "local"}}};
  const std::string encoding = report_encoding(text_, report);
  if (!encoding.empty()) { open.attributes.push_back({std::string(queue::attr::encoding), encoding}); }
  auto opened = co_await cleanup_.open(std::move(open));
  if (!opened) { co_return failure(opened.error().text, std::errc::io_error); }
  clients::Submission& submission = *opened;
  std::vector<clients::RecipientRecord> recipients{{.address = notice.recipient}};
  const auto recipients_sent = co_await submission.add_recipients(std::move(recipients));
  if (!recipients_sent) { co_return std::unexpected(recipients_sent.error()); }

  const mail::ReceivedBy by{.myhostname = text_.myhostname,
                            .mail_name = text_.mail_name,
                            .queue_id = submission.queue_id(),
                            .when = report.now};
  std::string content = mail::received_internal(by) + "\n" + header(text_, report) + explanation_part(text_, report);
  // For people first, then for programs.
  for (const bool fields : {false, true}) {
    if (fields) { content += status_part(text_, report); }
    SP_CO_TRY(entries.rewind());
    for (;;) {
      SP_CO_TRY(const auto entry, entries.next());
      if (!entry) { break; }
      if (!concerns(*entry)) { continue; }
      content += fields ? recipient_fields(text_, report, *entry) : recipient_paragraph(text_, report, *entry);
      if (content.size() < kChunkOctets) { continue; }
      const auto sent = co_await submission.add_content(std::exchange(content, {}));
      if (!sent) { co_return std::unexpected(sent.error()); }
    }
  }
  if (original != nullptr) { content += returned_part(text_, report); }
  const auto sent = co_await submission.add_content(std::exchange(content, {}));
  if (!sent) { co_return std::unexpected(sent.error()); }
  if (original != nullptr) {
    const auto copied = co_await add_original(submission, report, *original);
    if (!copied) { co_return std::unexpected(copied.error()); }
  }
  const auto end_sent = co_await submission.add_content(end(text_, report));
  if (!end_sent) { co_return std::unexpected(end_sent.error()); }

  std::string new_id = submission.queue_id();
  const auto result = co_await submission.finish();
  if (!result) { co_return std::unexpected(result.error()); }
  using Status = clients::CleanupResult::Status;
  if (result->status == Status::too_large && report.returned == Returned::message) {
    // message_size_limit is below bounce_size_limit: the headers have to do.
    report.returned = Returned::headers;
    auto smaller = co_await send(notice, report, entries, original);
    co_return smaller;
  }
  if (result->status != Status::ok && result->status != Status::discarded) {
    co_return failure(result->text.empty() ? std::string(describe(result->status)) : result->text, std::errc::io_error);
  }
  co_return new_id;
}

net::Task<Result<>> Reporter::add_original(clients::Submission& submission, const Report& report,
                                           Original& original) const {
  SP_CO_TRY(original.reader.rewind_content(original.envelope));
  bool at_line_start = true;
  std::int64_t copied = 0;
  for (;;) {
    std::string chunk;
    SP_CO_TRY(bool more, original.reader.read_content(chunk, kChunkOctets));
    if (report.returned == Returned::headers) {
      const std::size_t end = header_end(chunk, at_line_start);
      // A header without end must not return the message through the back door.
      if (end != std::string::npos || copied + std::ssize(chunk) > policy_.bounce_size_limit) { more = false; }
      chunk.resize(std::min(end, chunk.size()));
    }
    if (!chunk.empty()) {
      copied += std::ssize(chunk);
      at_line_start = chunk.back() == '\n';
      if (!more && !at_line_start) { chunk += '\n'; }
      const auto sent = co_await submission.add_content(std::move(chunk));
      if (!sent) { co_return sent; }
    }
    if (!more) { co_return Result<>{}; }
  }
}

}  // namespace stagepost::bounce
