// How a message ends: notifications that are owed are queued first, then the file is removed, or goes to deferred with
// the time of its next attempt.
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/log.hpp"
#include "qmgr/manager.hpp"

namespace stagepost::qmgr {
namespace {

/// Messages whose reports are being sent at the same time.
constexpr std::size_t kEndingWorkers = 20;

bool is_missing(const Error& error) { return error.is(std::errc::no_such_file_or_directory); }

}  // namespace

/// Called whenever something of the message ended. May read more recipients, or end the message (then it is gone).
void Manager::check_done(Message& message) {
  if (message.loading || stopping_) { return; }
  if (message.next_offset) {
    // The next window is read while a part of this one is still under way, so that agents do not run dry.
    const bool low = message.recipients * 4 <= window_size();
    if ((message.entries == 0 || (low && recipients_ < settings_.message_recipient_limit))) {
      message.loading = true;
      refills_.push_back(message.key);
      if (!refilling_) {
        refilling_ = true;
        background_.spawn(work_off_refills());
      }
    }
    return;
  }
  if (message.entries > 0) { return; }
  const bool reports =
      has_report(queue::QueueName::bounce, message.id) || has_report(queue::QueueName::trace, message.id);
  if (!message.incomplete && !reports) {
    remove(message);
    return;
  }
  message.loading = true;  // nothing else may end it meanwhile
  endings_.push_back(message.key);
  if (ending_workers_ < kEndingWorkers && !background_.full()) {
    ++ending_workers_;
    background_.spawn(work_off_endings());
  }
}

net::Task<> Manager::work_off_refills() {
  while (!refills_.empty()) {
    const MessageKey key = refills_.front();
    refills_.pop_front();
    co_await loaders_.room();
    const bool cancelled = co_await net::cancelled();
    if (cancelled) { co_return; }
    loaders_.spawn(refill(key));
  }
  refilling_ = false;
}

net::Task<> Manager::work_off_endings() {
  while (!endings_.empty()) {
    const MessageKey key = endings_.front();
    endings_.pop_front();
    co_await end_message(key);
    const bool cancelled = co_await net::cancelled();
    if (cancelled) { break; }
  }
  --ending_workers_;
}

bool Manager::has_report(queue::QueueName queue, const queue::QueueId& id) const {
  // Anything but "not there" is looked into by the service, which then fails, rather than taken for nothing to say.
  return ::access(directory_.path(queue, id).c_str(), F_OK) == 0 || errno != ENOENT;
}

clients::ReportedMessage Manager::reported(const Message& message) const {
  return {.queue_name = std::string(queue::to_string(queue::QueueName::active)),
          .queue_id = message.id.str(),
          .sender = message.envelope.sender,
          .encoding = message.envelope.encoding,
          .smtputf8 = (message.envelope.size.smtputf8_flags & queue::kSmtpUtf8Requested) != 0,
          .dsn_envid = message.envelope.dsn_envid,
          .dsn_ret = message.envelope.dsn_ret,
          .verp_delimiters = settings_.verp_bounces && message.envelope.verp_delimiters.size() == 2
                                 ? message.envelope.verp_delimiters
                                 : std::string()};
}

/// The bounce of failed recipients and the report of successful ones.
net::Task<Result<>> Manager::send_reports(Message& message) {
  using What = clients::BounceFlush::What;
  if (has_report(queue::QueueName::bounce, message.id)) {
    const auto sent = co_await bounce_.flush(clients::ReportLog::bounce, What::report, reported(message));
    if (!sent) { co_return sent; }
  }
  if (has_report(queue::QueueName::trace, message.id)) {
    const auto sent = co_await bounce_.flush(clients::ReportLog::trace, What::report, reported(message));
    if (!sent) { co_return sent; }
  }
  co_return Result<>{};
}

net::Task<> Manager::end_message(MessageKey key) {
  Message& message = *messages_.at(key);
  const std::string& id = message.id.str();
  auto sent = co_await send_reports(message);
  if (!sent && sent.error().is(std::errc::operation_canceled)) { co_return; }
  if (!sent) {
    // The file stays until its sender has been told.
    log::warning("{}: {}", id, sent.error().message());
    put_back(message, settings_.retry.minimal_backoff_time);
    forget(message);
    co_return;
  }
  if (!message.incomplete) {
    remove(message);
    co_return;
  }
  if (message.damaged) {
    save_corrupt(message, "damaged content");
    forget(message);
    co_return;
  }
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - message.created);
  const SenderKind sender = message.envelope.sender.empty() ? SenderKind::null_sender : SenderKind::mailbox;
  if (message.force_expired || expired(age, sender, settings_.retry)) {
    log::info("{}: from=<{}>, status={}, returned to sender", id, log_address(message.envelope.sender),
              message.force_expired ? "force-expired" : "expired");
    using What = clients::BounceFlush::What;
    const auto returned = co_await bounce_.flush(clients::ReportLog::defer, What::report, reported(message));
    if (!returned && returned.error().is(std::errc::operation_canceled)) { co_return; }
    if (returned) {
      remove(message);
      co_return;
    }
    log::warning("{}: {}", id, returned.error().message());
    put_back(message, settings_.retry.minimal_backoff_time);
    forget(message);
    co_return;
  }
  const std::int64_t warn_time = message.envelope.warn_time;
  if (warn_time > 0 && Clock::to_time_t(Clock::now()) >= warn_time) { co_await warn_of_delay(message); }
  tell_flush_service(message);
  put_back(message, retry_delay(age, settings_.retry));
  forget(message);
}

/// One warning for each message (delay_warning_time). If it cannot be sent the next attempt tries again.
net::Task<> Manager::warn_of_delay(Message& message) {
  const auto warned =
      co_await bounce_.flush(clients::ReportLog::defer, clients::BounceFlush::What::warning, reported(message));
  if (!warned) {
    log::warning("{}: {}", message.id.str(), warned.error().message());
    co_return;
  }
  auto reader = reopen(message);
  if (!reader) { co_return; }
  const auto noted = reader->mark_warning_sent(message.envelope);
  if (!noted) { log::warning("{}: {}", message.id.str(), noted.error().message()); }
}

/// Every recipient is done and nothing is owed.
void Manager::remove(Message& message) {
  if (message.incomplete && has_report(queue::QueueName::defer, message.id)) {
    [[maybe_unused]] const auto dropped = directory_.remove(queue::QueueName::defer, message.id);
  }
  // First, so that recovery never takes a message that is gone for one that was lost.
  journal_.completed({message.id, message.envelope.arrival, message.envelope.create_time});
  const auto removed = directory_.remove(queue::QueueName::active, message.id);
  if (removed) {
    log::info("{}: removed", message.id.str());
  } else if (!is_missing(removed.error())) {
    log::warning("{}: {}", message.id.str(), removed.error().message());
  }
  forget(message);
}

/// Into deferred, with the time of the next attempt as the file's times.
void Manager::put_back(Message& message, std::chrono::seconds delay) {
  const std::string path = directory_.path(queue::QueueName::active, message.id);
  const timespec due{.tv_sec = Clock::to_time_t(Clock::now() + delay), .tv_nsec = 0};
  const std::array times{due, due};
  if (::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) { return; }  // deleted or put on hold meanwhile
    log::warning("{}: {}", message.id.str(), errno_failure("set times of " + path).error().message());
  }
  const auto moved = directory_.move(message.id, queue::QueueName::active, queue::QueueName::deferred);
  if (!moved && !is_missing(moved.error())) { log::warning("{}: {}", message.id.str(), moved.error().message()); }
}

/// ETRN and "sendmail -qR" find deferred mail by its destination (fast_flush_domains).
void Manager::tell_flush_service(Message& message) {
  for (const std::string& site : message.deferred_sites) {
    // A missed entry only means that this message waits for its time.
    if (background_.size() + kEndingWorkers * 2 >= background_limit()) { return; }
    background_.spawn(add_to_flush_log(site, message.id.str()));
  }
}

net::Task<> Manager::add_to_flush_log(std::string site, std::string queue_id) {
  maps::MatchList::Subject subject;
  subject.name = site;
  const auto listed = co_await fast_flush_domains_.matches(std::move(subject));
  if (!listed || !*listed) { co_return; }
  if (old_relay_domains_) {
    log::info(
        "using backwards-compatible default setting relay_domains=$mydestination to update fast-flush logfile for "
        "domain \"{}\"",
        site);
  }
  clients::FlushRequest request;
  request.what = clients::FlushRequest::What::add;
  request.site = std::move(site);
  request.queue_id = std::move(queue_id);
  const auto told = co_await flush_.ask(std::move(request));
  if (!told) { log::debug("flush service: {}", told.error().message()); }
}

}  // namespace stagepost::qmgr
