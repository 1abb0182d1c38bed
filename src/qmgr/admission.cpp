// Taking messages into the active queue, and reading and resolving their recipients in windows.
#include <unistd.h>

#include "base/sys.hpp"
#include "delivery/attempt.hpp"
#include "log/log.hpp"
#include "qmgr/manager.hpp"
#include "queue/error.hpp"
#include "queue/lock.hpp"

namespace stagepost::qmgr {
namespace {

/// Recipients read at once: what is read is read without giving the loop a turn.
constexpr std::size_t kWindowLimit = 5000;
/// Recipients that trivial-rewrite is asked about in one question.
constexpr std::size_t kResolveAtOnce = clients::ResolveManyRequest::kMaxRecipients;
/// A message that another process still works on is looked at again after this.
constexpr std::chrono::seconds kLockedRetry{10};

std::chrono::system_clock::time_point time_of(const queue::ArrivalTime& arrival) {
  return std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(
      std::chrono::seconds(arrival.seconds) + std::chrono::microseconds(arrival.microseconds)));
}

bool is_missing(const Error& error) { return error.is(std::errc::no_such_file_or_directory); }

/// What a file that cleanup completed always has; empty: it is there.
std::string_view missing_record(const queue::Envelope& envelope) {
  // Without the size record nobody knows whether recipients were lost.
  if (!envelope.has_size) { return "missing size record"; }
  return envelope.has_sender ? std::string_view{} : "missing sender record";
}

}  // namespace

net::Task<Result<>> Manager::recover() {
  const auto replayed = co_await journal_.recover();
  if (!replayed) { co_return replayed; }
  queue::QueueScan scan(directory_, queue::QueueName::active);
  std::size_t moved = 0;
  for (;;) {
    const auto entry = scan.next();
    if (!entry) { co_return std::unexpected(entry.error()); }
    if (!*entry) { co_return Result<>{}; }
    const auto id = queue::QueueId::parse((*entry)->name);
    if (!id) { continue; }
    const auto done = directory_.move(*id, queue::QueueName::active, queue::QueueName::incoming);
    if (!done && !is_missing(done.error())) { log::warning("{}: {}", id->str(), done.error().message()); }
    if (++moved % 100 == 0) { co_await net::yield_now(); }
  }
}

/// The loop that fills the active queue, as long as there is room.
net::Task<> Manager::take_in() {
  for (;;) {
    const bool room = messages_.size() < settings_.message_active_limit && !loaders_.full() && !stopping_;
    if (!room || !intake_.has_work()) {
      const auto woken = co_await work_.wait(within(std::chrono::seconds(60)));
      if (!woken && !woken.error().is(std::errc::timed_out)) { co_return; }
      continue;
    }
    auto candidate = intake_.next(Clock::now());
    if (candidate) {
      loaders_.spawn(admit(std::move(*candidate)));
    } else {
      co_await net::yield_now();
    }
  }
}

std::size_t Manager::window_size() const {
  const std::size_t limit = settings_.message_recipient_limit;
  const std::size_t room = limit > recipients_ ? limit - recipients_ : 0;
  return std::min(kWindowLimit, std::max(room, settings_.message_recipient_minimum));
}

/// Moves the file into active/ and reads its envelope. No reader: the message is not (or no longer) ours to deliver.
std::optional<queue::MessageReader> Manager::activate(Message& message, const Candidate& candidate) {
  auto reader =
      queue::MessageReader::open(directory_.path(candidate.from, candidate.id), queue::MessageReader::Access::update);
  if (!reader) {
    // Taken in already, deleted or put on hold: all of them normal.
    if (!is_missing(reader.error())) { log::warning("{}: {}", candidate.id.str(), reader.error().message()); }
    return std::nullopt;
  }
  const auto status = sys::fstat(reader->fd());
  if (!status || (status->st_mode & S_IXUSR) == 0) { return std::nullopt; }
  message.force_expired = (status->st_mode & S_IXGRP) != 0;
  if (candidate.scanned && !queue::try_lock(reader->fd())) {
    // A delivery that an earlier queue manager started is not over: it may still mark recipients as done.
    log::info("{}: skipped, still being delivered", candidate.id.str());
    if (background_.full()) { return std::nullopt; }
    background_.spawn(look_again(candidate.from));
    return std::nullopt;
  }
  const auto moved = directory_.move(candidate.id, candidate.from, queue::QueueName::active);
  if (!moved) {
    if (!is_missing(moved.error())) { log::warning("{}: {}", candidate.id.str(), moved.error().message()); }
    return std::nullopt;
  }
  message.active_since = Clock::now();
  auto envelope = reader->read_envelope();
  if (!envelope || !missing_record(*envelope).empty()) {
    if (!envelope && !queue::is_damage(envelope.error())) {
      log::warning("{}: {}", candidate.id.str(), envelope.error().message());
      put_back(message, settings_.retry.minimal_backoff_time);
      return std::nullopt;
    }
    save_corrupt(message, envelope ? std::string(missing_record(*envelope)) : envelope.error().message());
    return std::nullopt;
  }
  message.envelope = std::move(*envelope);
  message.arrival = time_of(message.envelope.arrival);
  message.created = message.envelope.create_time > 0
                        ? Clock::time_point(std::chrono::seconds(message.envelope.create_time))
                        : message.arrival;
  // The reasons of earlier attempts: this one will write its own.
  if (candidate.from == queue::QueueName::deferred) {
    [[maybe_unused]] const auto dropped = directory_.remove(queue::QueueName::defer, candidate.id);
  }
  log::info("{}: from=<{}>, size={}, nrcpt={} (queue active)", candidate.id.str(), log_address(message.envelope.sender),
            message.envelope.size.message_size, message.envelope.size.recipient_count);
  return std::move(*reader);
}

net::Task<> Manager::look_again(queue::QueueName where) {
  const auto slept = co_await net::sleep_until(within(kLockedRetry));
  if (!slept) { co_return; }
  if (where == queue::QueueName::incoming) {
    intake_.scan_incoming();
  } else {
    intake_.scan_deferred(Intake::Times::respect);
  }
  work_.notify_all();
}

void Manager::save_corrupt(Message& message, std::string_view reason) {
  const std::string& id = message.id.str();
  log::warning("{}: message rejected: {}", id, reason);
  log::warning("saving corrupt file \"{}\" from queue \"active\" to queue \"corrupt\"", id);
  const auto saved = directory_.move(message.id, queue::QueueName::active, queue::QueueName::corrupt);
  if (!saved && !is_missing(saved.error())) { log::warning("{}: {}", id, saved.error().message()); }
}

void Manager::forget(Message& message) {
  active_ids_.erase(message.id.str());
  messages_.erase(message.key);  // message is gone now
  work_.notify_all();
}

net::Task<> Manager::admit(Candidate candidate) {
  // A file of the same name in active/ must not be overwritten; the next scan finds this one again.
  if (!active_ids_.insert(candidate.id.str()).second) { co_return; }
  const MessageKey key = ++last_message_;
  auto made = std::make_unique<Message>(key, candidate.id);
  Message& message = *made;
  messages_.emplace(key, std::move(made));
  message.flushed = candidate.flushed;
  auto reader = activate(message, candidate);
  if (!reader) {
    forget(message);
    co_return;
  }
  co_await load(key, std::move(*reader));
}

std::optional<queue::MessageReader> Manager::reopen(Message& message) {
  auto reader = queue::MessageReader::open(directory_.path(queue::QueueName::active, message.id),
                                           queue::MessageReader::Access::update);
  if (reader) { return std::move(*reader); }
  if (!is_missing(reader.error())) { log::warning("{}: {}", message.id.str(), reader.error().message()); }
  return std::nullopt;
}

net::Task<> Manager::refill(MessageKey key) {
  Message& message = *messages_.at(key);
  auto reader = reopen(message);
  if (!reader) {
    message.loading = false;
    message.next_offset.reset();
    message.incomplete = true;
    check_done(message);
    co_return;
  }
  co_await load(key, std::move(*reader));
}

/// Reads the next window of recipients, resolves them and hands them to the scheduler. Afterwards the message may be
/// gone.
net::Task<> Manager::load(MessageKey key, queue::MessageReader reader) {
  Message& message = *messages_.at(key);  // loading: nobody else ends it
  auto window = reader.read_recipients(message.next_offset.value_or(0), window_size());
  if (!window) {
    message.next_offset.reset();
    message.loading = false;
    if (message.entries == 0 && queue::is_damage(window.error())) {
      save_corrupt(message, window.error().message());
      forget(message);
      co_return;
    }
    log::warning("{}: {}", message.id.str(), window.error().message());
    message.incomplete = true;
    check_done(message);
    co_return;
  }
  message.next_offset = window->next_offset;
  // They count as in memory from here, so that other messages leave room.
  const std::size_t count = window->recipients.size();
  recipients_ += count;
  std::vector<RoutedRecipient> routed;
  routed.reserve(count);
  for (std::size_t start = 0; start < count; start += kResolveAtOnce) {
    const std::size_t end = std::min(count, start + kResolveAtOnce);
    std::vector<clients::RecipientRecord> recipients;
    std::vector<std::string> addresses;
    for (std::size_t i = start; i < end; ++i) {
      clients::RecipientRecord recipient = clients::RecipientRecord::from(window->recipients[i]);
      if (!message.envelope.redirect.empty()) {
        if (recipient.original.empty()) { recipient.original = recipient.address; }
        recipient.address = message.envelope.redirect;
      }
      addresses.push_back(recipient.address);
      recipients.push_back(std::move(recipient));
    }
    std::vector<Route> routes = co_await find_routes(message, std::move(addresses));
    for (std::size_t i = 0; i < recipients.size(); ++i) {
      if (routes[i].kind == Route::Kind::discard) {
        discard(message, recipients[i], reader);
      } else {
        routed.push_back({std::move(recipients[i]), std::move(routes[i])});
      }
    }
    if (end < count) { co_await net::yield_now(); }
    const bool cancelled = co_await net::cancelled();
    if (cancelled) { co_return; }
  }
  recipients_ -= count;
  GroupLimits limits;
  limits.one_to_a_request = !message.envelope.verp_delimiters.empty();
  limits.recipients = [this](std::string_view transport) { return settings_.recipient_limit(transport); };
  Grouped grouped = group(std::move(routed), limits);
  for (const clients::RecipientRecord& duplicate : grouped.duplicates) {
    const auto marked = reader.mark_done(duplicate.offset);
    if (!marked) { log::warning("{}: {}", message.id.str(), marked.error().message()); }
  }
  // Agents lock the file too: ours ends here.
  { const queue::MessageReader closed = std::move(reader); }
  // A delivery may begin and end within these calls: the message cannot end before all its entries are there.
  for (Delivery& delivery : grouped.deliveries) { add_entry(message, std::move(delivery)); }
  message.loading = false;
  if (message.entries == 0) { check_done(message); }  // the message may be gone now
  pump();
}

/// One route for each recipient, in their order.
net::Task<std::vector<Route>> Manager::find_routes(const Message& message, std::vector<std::string> recipients) {
  std::vector<Route> routes;
  routes.reserve(recipients.size());
  if (!message.envelope.filter.empty()) {
    for (const std::string& recipient : recipients) {
      routes.push_back(filter_route(message.envelope.filter, recipient, settings_.routing));
    }
    co_return routes;
  }
  const auto replies = co_await rewrite_.resolve_all(message.envelope.sender, recipients);
  if (!replies) {
    if (!replies.error().is(std::errc::operation_canceled)) {
      log::warning("{}: {}", message.id.str(), replies.error().message());
    }
    for (const std::string& recipient : recipients) {
      routes.push_back(deferring_route({"4.3.0", "address resolver failure"}, recipient));
    }
    co_return routes;
  }
  const auto deferring = message.flushed ? DeferTransports::ignore : DeferTransports::honour;
  for (const auto& reply : *replies) { routes.push_back(resolved_route(reply, settings_.routing, deferring)); }
  co_return routes;
}

/// Mail to double_bounce_sender ends here.
void Manager::discard(const Message& message, const clients::RecipientRecord& recipient, queue::MessageReader& reader) {
  delivery::Outcome outcome;
  outcome.status = {"2.0.0", "undeliverable postmaster notification discarded"};
  const delivery::Timing timing{message.arrival, message.active_since, Clock::now(), {}};
  delivery::log_outcome(message.id.str(), recipient, outcome, "sent", timing, settings_.delay_decimals);
  const auto marked = reader.mark_done(recipient.offset);
  if (!marked) { log::warning("{}: {}", message.id.str(), marked.error().message()); }
}

}  // namespace stagepost::qmgr
