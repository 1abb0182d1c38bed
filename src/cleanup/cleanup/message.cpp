#include "cleanup/cleanup/message.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "mail/verp.hpp"
#include "queue/attribute_names.hpp"

namespace stagepost::cleanup {

using clients::CleanupResult;
using Status = clients::CleanupResult::Status;
namespace attr = queue::attr;

namespace {

/// Attributes that stand before the sender record; the others follow it.
constexpr std::array kEarlyAttributes{attr::rewrite_context, attr::dsn_envid, attr::dsn_ret};

/// Quoted for rewriting. A source route ("@a:user@b") is routing, not a local-part to be quoted.
std::string external_form(const std::string& address) {
  return address.starts_with('@') ? address : mail::quote_822_local(address);
}

bool is_early(std::string_view name) { return std::ranges::find(kEarlyAttributes, name) != kEarlyAttributes.end(); }

queue::ArrivalTime to_arrival(std::chrono::system_clock::time_point when) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count();
  return {micros / 1'000'000, static_cast<std::int32_t>(micros % 1'000'000)};
}

}  // namespace

net::Task<Result<std::unique_ptr<Message>>> Message::create(Shared& shared, clients::CleanupOpen open) {
  const auto queue = (open.flags & clients::kCleanupHold) != 0 ? queue::QueueName::hold : queue::QueueName::incoming;
  if (open.arrival == std::chrono::system_clock::time_point{}) { open.arrival = std::chrono::system_clock::now(); }
  auto writer = queue::MessageWriter::create(shared.directory, queue,
                                             {.id_style = shared.settings.id_style, .nursery = &shared.nursery});
  if (!writer) { co_return std::unexpected(writer.error()); }
  std::unique_ptr<Message> message(new Message(shared, std::move(open), std::move(*writer)));
  Message& m = *message;
  // A bounce, defer or trace log of an earlier message with this name must not be taken for this one's.
  const auto removed = shared.directory.remove_logs(m.writer_.id());
  if (!removed) { co_return std::unexpected(removed.error()); }

  if (!m.open_.sender.empty()) {
    auto rewritten = co_await m.aliases_.rewrite(mail::quote_822_local(m.open_.sender));
    if (rewritten) {
      m.sender_ = mail::unquote_822_local(*rewritten);
    } else {
      log::warning("{}: {}", m.queue_id(), rewritten.error().message());
      m.fail(Status::temporary, "4.3.0", "queue file write error");
    }
  }
  queue::MessageWriter& w = m.writer_;
  w.append(queue::RecordType::size, queue::format_size({}));
  w.append(queue::RecordType::time, queue::format_time(to_arrival(m.open_.arrival)));
  w.append_attribute(attr::create_time, std::to_string(w.created().seconds));
  if (!m.attribute(attr::log_client_name).empty()) { w.append_attribute(attr::log_ident, m.queue_id()); }
  for (const auto& [name, value] : m.open_.attributes) {
    if (is_early(name)) { w.append_attribute(name, value); }
  }
  if (!m.open_.filter.empty()) { w.append(queue::RecordType::filter, m.open_.filter); }
  if (!m.open_.full_name.empty()) { w.append(queue::RecordType::full_name, m.open_.full_name); }
  if (const auto delay = shared.settings.delay_warning_time; delay.count() > 0 && !m.sender_.empty()) {
    w.append(queue::RecordType::warn_time, queue::format_warn_time(to_arrival(m.open_.arrival + delay).seconds));
  }
  w.append(queue::RecordType::sender, m.sender_);
  for (const auto& [name, value] : m.open_.attributes) {
    if (!is_early(name)) { w.append_attribute(name, value); }
  }
  m.write_verp_request();
  co_return message;
}

Message::Message(Shared& shared, clients::CleanupOpen open, queue::MessageWriter writer)
    : shared_(shared),
      open_(std::move(open)),
      writer_(std::move(writer)),
      aliases_(shared.settings, shared.rewrite, shared.virtual_alias_maps, shared.local_domains),
      sink_(writer_, shared.settings.replace_stray_cr),
      mime_(shared.settings.mime, sink_),
      cutter_(shared.settings.line_length_limit),
      headers_(shared.settings,
               shared.settings.always_add_missing_headers || attribute(attr::rewrite_context) != "remote") {
  if (attribute(attr::rewrite_context) == "local") {
    header_context_ = clients::RewriteContext::local;
  } else if (attribute(attr::rewrite_context) == "remote" && !shared.settings.remote_header_rewrite_domain.empty()) {
    header_context_ = clients::RewriteContext::remote;
  }
}

std::string_view Message::attribute(std::string_view name) const {
  const auto found = std::ranges::find(open_.attributes, name, &clients::Attribute::name);
  return found == open_.attributes.end() ? std::string_view{} : std::string_view(found->value);
}

/// Whoever asked for VERP can be any local user, so what it says is checked here.
void Message::write_verp_request() {
  const std::string& delimiters = open_.verp_delimiters;
  if (delimiters.empty()) { return; }
  if (sender_.empty()) {
    log::warning("{}: ignoring VERP request for null sender", queue_id());
  } else if (!mail::is_verp_delimiters(delimiters, shared_.settings.verp_delimiter_filter)) {
    log::warning("{}: ignoring bad VERP request: \"{}\"", queue_id(), printable(delimiters.substr(0, 100)));
  } else {
    writer_.append(queue::RecordType::verp, delimiters);
  }
}

void Message::fail(Status status, std::string code, std::string text) {
  if (failed()) { return; }
  result_.status = status;
  result_.code = std::move(code);
  result_.text = std::move(text);
}

void Message::fail_to_write(const Error& error) {
  if (failed()) { return; }
  log::warning("{}: {}", queue_id(), error.message());
  if (error.is(std::errc::no_space_on_device) || error.code.value() == EDQUOT) {
    fail(Status::no_space, "4.3.1", "Insufficient system storage");
  } else {
    fail(Status::write_error, "4.3.0", "queue file write error");
  }
}

net::Task<> Message::add_recipients(std::vector<clients::RecipientRecord> recipients) {
  for (auto& recipient : recipients) {
    if (failed()) { co_return; }
    co_await add_recipient(std::move(recipient));
  }
}

net::Task<> Message::add_recipient(clients::RecipientRecord recipient) {
  if (has_flag(clients::kCleanupBounce)) { recipients_for_bounce_.push_back(recipient); }
  size_flags_ |= static_cast<std::int64_t>(recipient.notify) << 1;
  const auto rewritten = co_await aliases_.rewrite(external_form(recipient.address));
  if (!rewritten) {
    log::warning("{}: {}", queue_id(), rewritten.error().message());
    co_return fail(Status::temporary, "4.3.0", "Temporary lookup failure");
  }
  // orig_to= shows what was submitted; the DSN has the standard form of it.
  if (recipient.original.empty()) { recipient.original = recipient.address; }
  recipient.address = mail::unquote_822_local(*rewritten);
  if (recipient.dsn_original.empty()) {
    // Decoded, as queue files keep it: the SMTP client encodes.
    const auto original = mail::Address::from_internal(recipient.address);
    if (original) { recipient.dsn_original = "rfc822;" + original->internal(); }
  }
  if (!has_flag(clients::kCleanupMap) || shared_.virtual_alias_maps.empty()) { co_return write_recipient(recipient); }

  auto expanded = co_await expand_alias(aliases_, shared_.settings, recipient.address);
  if (!expanded) {
    log::warning("{}: {}", queue_id(), expanded.error().log);
    co_return fail(Status::temporary, expanded.error().status.code, expanded.error().status.text);
  }
  const bool changed = expanded->size() != 1 || expanded->front() != recipient.address;
  // RFC 3461 §5.2.7.3: an alias reports "expanded" itself; its members report no success of their own.
  if (changed && (recipient.notify & queue::kNotifySuccess) != 0) {
    clients::RecipientReport report{.recipient = recipient,
                                    .action = clients::RecipientReport::Action::expanded,
                                    .status = "2.0.0",
                                    .reason = "alias expanded"};
    const auto traced = co_await shared_.bounce.append(clients::ReportLog::trace, {queue_id(), std::move(report)});
    if (!traced) {
      log::warning("{}: {}", queue_id(), traced.error().message());
      co_return fail(Status::temporary, "4.3.0", "Trace service failure");
    }
    recipient.notify &= ~static_cast<std::uint32_t>(queue::kNotifySuccess);
    if (recipient.notify == 0) { recipient.notify = queue::kNotifyNever; }
  }
  for (std::string& address : *expanded) {
    recipient.address = std::move(address);
    write_recipient(recipient);
  }
}

void Message::write_recipient(const clients::RecipientRecord& recipient) {
  if (seen_recipients_.size() < shared_.settings.duplicate_filter_limit) {
    std::string key = mail::fold_case(recipient.address);
    if (shared_.settings.enable_original_recipient) {
      key += '\0';
      key += recipient.original;
      key += '\0';
      key += recipient.dsn_original;
      key += static_cast<char>('0' + recipient.notify);
    }
    if (!seen_recipients_.insert(std::move(key)).second) { return; }
  }
  std::string records;
  if (recipient.notify != 0) { queue::append_attribute(records, attr::dsn_notify, std::to_string(recipient.notify)); }
  if (!recipient.dsn_original.empty()) {
    queue::append_attribute(records, attr::dsn_original_recipient, recipient.dsn_original);
  }
  if (shared_.settings.enable_original_recipient) {
    queue::append_record(records, queue::RecordType::original_recipient, recipient.original);
  }
  queue::append_record(records, queue::RecordType::recipient, recipient.address);
  if (content_offset_ == 0) {
    writer_.append_records(records);
  } else {
    extracted_ += records;
  }
  ++recipient_count_;
  eight_bit_recipient_ = eight_bit_recipient_ || !text::is_ascii(recipient.address);
}

void Message::start_content() {
  if (content_offset_ != 0) { return; }
  writer_.append(queue::RecordType::content_start, "");
  content_offset_ = writer_.offset();
}

net::Task<> Message::add_content(std::string_view bytes) {
  if (failed()) { co_return; }
  start_content();
  // The primary header needs look-ups between lines; the body goes through in one run.
  std::size_t used = 0;
  while (used < bytes.size() && mime_.in_primary_header()) {
    const std::size_t newline = bytes.find('\n', used);
    const std::size_t end = newline == std::string_view::npos ? bytes.size() : newline + 1;
    cutter_.feed(bytes.substr(used, end - used), [&](mail::Line line) { mime_.feed(line); });
    used = end;
    co_await drain_events();
  }
  cutter_.feed(bytes.substr(used), [&](mail::Line line) { mime_.feed(line); });
  co_await drain_events();
  if (shared_.settings.message_size_limit > 0 && sink_.size_bytes() > shared_.settings.message_size_limit) {
    fail(Status::too_large, "5.3.4", "message file too big");
  }
  if (writer_.failed()) { fail_to_write(writer_.status().error()); }
}

net::Task<> Message::drain_events() {
  auto& events = sink_.events();
  while (!events.empty()) {
    // Taken out first: what the sink appends while nothing is queued goes straight to the file.
    const ContentEvent event = std::move(events.front());
    events.pop_front();
    switch (event.kind) {
      case ContentEvent::Kind::primary_header:
        co_await handle_header(event);
        break;
      case ContentEvent::Kind::other_header:
        sink_.append_field(event.text);
        break;
      case ContentEvent::Kind::primary_end: {
        const auto fields =
            headers_.missing_fields({.queue_id = queue_id(),
                                     .sender = sender_,
                                     .full_name = open_.full_name,
                                     .arrival = std::chrono::floor<std::chrono::seconds>(open_.arrival)});
        for (const std::string& field : fields) { sink_.append_own_field(field); }
        log::info("{}: {}", queue_id(), headers_.message_id_for_log());
        if (headers_.too_many_hops()) { fail(Status::too_many_hops, "5.4.0", "too many hops"); }
        break;
      }
      case ContentEvent::Kind::body_line:
        sink_.append_body(event.text, mail::LineEnd::complete);
        break;
      case ContentEvent::Kind::body_piece:
        sink_.append_body(event.text, mail::LineEnd::partial);
        break;
      case ContentEvent::Kind::problem:
        log::info("{}: reject: mime-error {}: {}", queue_id(), mail::describe(event.problem),
                  event.text.substr(0, 200));
        fail(Status::rejected, "5.6.0", std::string(mail::describe(event.problem)));
        break;
    }
  }
}

net::Task<> Message::handle_header(const ContentEvent& event) {
  const auto field = mail::parse_header_field(event.text);
  if (!field) { co_return sink_.append_field(event.text); }
  switch (headers_.on_header(*field)) {
    case HeaderPlan::Action::keep:
      sink_.append_field(event.text);
      break;
    case HeaderPlan::Action::drop:
      break;
    case HeaderPlan::Action::rewrite: {
      const std::string rewritten = co_await rewrite_field(event.text);
      sink_.append_field(rewritten);
      break;
    }
  }
}

net::Task<std::string> Message::rewrite_field(std::string field) {
  if (!header_context_) { co_return field; }
  // First pass: which addresses are there and need asking. Second pass: put the answers in.
  std::vector<std::pair<std::string, std::string>> answers;
  const auto collect = [&](std::string_view address) {
    if (!is_canonical(address)) { answers.emplace_back(address, std::string{}); }
    return std::string(address);
  };
  [[maybe_unused]] const auto first = mail::rewrite_header_addresses(field, collect, shared_.settings.address_list);
  if (answers.empty()) { co_return field; }
  for (auto& [address, rewritten] : answers) {
    auto reply = co_await shared_.rewrite.rewrite(*header_context_, address);
    if (!reply) {
      log::warning("{}: {}", queue_id(), reply.error().message());
      fail(Status::temporary, "4.3.0", "Temporary lookup failure");
      co_return field;
    }
    rewritten = std::move(*reply);
  }
  const auto substitute = [&](std::string_view address) {
    const auto found = std::ranges::find(answers, address, [](const auto& a) { return std::string_view(a.first); });
    return found == answers.end() ? std::string(address) : found->second;
  };
  auto result = mail::rewrite_header_addresses(field, substitute, shared_.settings.address_list);
  co_return result.changed ? std::move(result.field) : std::move(field);
}

net::Task<> Message::write_trailer() {
  content_octets_ = writer_.offset() - content_offset_;
  writer_.append(queue::RecordType::extracted_start, "");
  if (!orders_.filter.empty()) { writer_.append(queue::RecordType::filter, orders_.filter); }
  if (!orders_.redirect.empty()) { writer_.append(queue::RecordType::redirect, orders_.redirect); }
  if (shared_.settings.detect_8bit_encoding_header) {
    const std::string& encoding = headers_.content_transfer_encoding();
    if (encoding == "7bit" || encoding == "8bit") { writer_.append_attribute(attr::encoding, encoding); }
    if (encoding == "binary") { writer_.append_attribute(attr::encoding, "8bit"); }
  }
  for (std::string& address : orders_.bcc) { co_await add_recipient({.address = std::move(address)}); }
  if (has_flag(clients::kCleanupBcc) && !shared_.settings.always_bcc.empty()) {
    write_recipient({.address = shared_.settings.always_bcc,
                     .original = shared_.settings.always_bcc,
                     .notify = queue::kNotifyNever});
  }
  writer_.append_records(extracted_);
  writer_.append(queue::RecordType::end, "");
}

std::int64_t Message::smtputf8_flags() const {
  std::int64_t flags = 0;
  if (sink_.eight_bit_header()) { flags |= queue::kSmtpUtf8Header; }
  if (!text::is_ascii(sender_)) { flags |= queue::kSmtpUtf8Sender; }
  const bool needed = shared_.settings.smtputf8_autodetect && has_flag(clients::kCleanupAutoUtf8) &&
                      (flags != 0 || eight_bit_recipient_);
  if (needed || has_flag(clients::kCleanupSmtpUtf8)) { flags |= queue::kSmtpUtf8Requested; }
  return flags;
}

/// HOLD came after the file was made in incoming/.
Result<> Message::hold() {
  if (!orders_.hold || has_flag(clients::kCleanupHold)) { return {}; }
  SP_TRY(writer_.move(shared_.directory, queue::QueueName::incoming, queue::QueueName::hold));
  open_.flags |= clients::kCleanupHold;
  return {};
}

net::Task<CleanupResult> Message::finish(clients::CleanupEnd orders) {
  orders_ = std::move(orders);
  if (!failed()) {
    start_content();
    cutter_.finish([&](mail::Line line) { mime_.feed(line); });
    mime_.finish();
    co_await drain_events();
  }
  if (!failed() && recipient_count_ == 0) { fail(Status::no_recipients, "5.1.0", "no recipients specified"); }
  if (!failed()) {
    co_await write_trailer();
    const auto patched = writer_.patch_record(0, queue::RecordType::size,
                                              queue::format_size({.message_size = content_octets_,
                                                                  .content_offset = content_offset_,
                                                                  .recipient_count = recipient_count_,
                                                                  .flags = size_flags_,
                                                                  .content_length = content_octets_,
                                                                  .smtputf8_flags = smtputf8_flags()}));
    if (!patched) { fail_to_write(patched.error()); }
  }
  if (!failed()) {
    auto committed = co_await commit();
    co_return committed;
  }
  if (has_flag(clients::kCleanupBounce) &&
      (result_.status == Status::too_large || result_.status == Status::too_many_hops ||
       result_.status == Status::rejected || result_.status == Status::no_recipients)) {
    const bool bounced = co_await bounce_to_sender(result_);
    if (bounced) { result_ = CleanupResult{}; }
  }
  writer_.discard();
  co_return result_;
}

net::Task<CleanupResult> Message::commit() {
  const auto disk_failure = [&](const Error& error) {
    fail_to_write(error);
    writer_.discard();
    return result_;
  };
  if (const auto held = hold(); !held) { co_return disk_failure(held.error()); }
  const auto place = has_flag(clients::kCleanupHold) ? queue::journal::Place::hold : queue::journal::Place::incoming;
  const Result<> durable = co_await shared_.committer.commit(writer_, to_arrival(open_.arrival), place);
  if (!durable) { co_return disk_failure(durable.error()); }
  result_.size_bytes = sink_.size_bytes();
  arrived_ = !has_flag(clients::kCleanupHold);
  co_return result_;
}

net::Task<> Message::announce() {
  if (std::exchange(arrived_, false)) { co_await shared_.qmgr.message_arrived(queue_id()); }
}

net::Task<bool> Message::bounce_to_sender(const CleanupResult& why) {
  // The report quotes what was received so far, so the unfinished file has to be readable.
  if (content_offset_ == 0) { start_content(); }
  writer_.append(queue::RecordType::extracted_start, "");
  writer_.append(queue::RecordType::end, "");
  const auto flushed = writer_.flush();
  if (!flushed) { co_return false; }
  for (const auto& recipient : recipients_for_bounce_) {
    clients::RecipientReport report{.recipient = recipient,
                                    .action = clients::RecipientReport::Action::failed,
                                    .status = why.code,
                                    .reason = why.text};
    const auto appended = co_await shared_.bounce.append(clients::ReportLog::bounce, {queue_id(), std::move(report)});
    if (!appended) { co_return false; }
    log::info("{}: to=<{}>, relay=none, delay=0, delays=0/0/0/0, dsn={}, status=bounced ({})", queue_id(),
              recipient.address, why.code, why.text);
  }
  const auto queue = has_flag(clients::kCleanupHold) ? queue::QueueName::hold : queue::QueueName::incoming;
  clients::ReportedMessage message{.queue_name = std::string(queue::to_string(queue)),
                                   .queue_id = queue_id(),
                                   .sender = sender_,
                                   .encoding = std::string(attribute(attr::encoding)),
                                   .dsn_envid = std::string(attribute(attr::dsn_envid))};
  const auto sent =
      co_await shared_.bounce.flush(clients::ReportLog::bounce, clients::BounceFlush::What::report, std::move(message));
  co_return sent.has_value();
}

}  // namespace stagepost::cleanup
