#include "qmgr/manager.hpp"

#include "base/assert.hpp"
#include "base/text.hpp"
#include "clients/endpoint.hpp"
#include "config/compatibility_level.hpp"
#include "delivery/attempt.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "maps/context.hpp"
#include "queue/attribute_names.hpp"

namespace stagepost::qmgr {
namespace {

/// Messages that are being read and resolved at the same time.
constexpr std::size_t kLoaders = 64;
/// The scheduler keeps each transport within its maxproc; this only catches what would be a mistake of ours.
constexpr std::size_t kDeliveries = 1'000'000;
constexpr std::size_t kBackground = 200;
/// Values of the trace_flags attribute.
constexpr std::uint64_t kTraceOnly = 512;     // sendmail -bv
constexpr std::uint64_t kTraceRecord = 1024;  // sendmail -v

const dsn::Status kTransportUnavailable{"4.3.0", "mail transport unavailable"};

maps::MatchList open_fast_flush_domains(const config::SnapshotPtr& snapshot, net::EventLoop& loop) {
  const config::Snapshot& config = *snapshot;
  const auto parents = maps::parent_style(config.text("parent_domain_matches_subdomains"), "fast_flush_domains");
  auto list = maps::MatchList::create("fast_flush_domains", config.text("fast_flush_domains"),
                                      {.style = maps::MatchStyle::domains, .parents = parents},
                                      maps::make_context(snapshot, &loop));
  if (list) { return std::move(*list); }
  log::warning("{}", list.error().message());
  return {};
}

ipc::ClientPool::Limits agent_limits(const config::Snapshot& config) {
  auto limits = clients::pool_limits(config);
  limits.idle_connections = 100;
  return limits;
}

}  // namespace

Manager::Manager(net::EventLoop& loop, Settings settings)
    : loop_(loop),
      settings_(std::move(settings)),
      directory_(".", settings_.hashing),
      journal_(loop, directory_, settings_.queue_journal ? JournalKeeper::Mode::on : JournalKeeper::Mode::off,
               settings_.boot_id),
      intake_(directory_),
      scheduler_(settings_.scheduler, [this](std::string_view name) { return settings_.transport(name); }),
      agents_(loop, agent_limits(*settings_.config)),
      rewrite_(loop, *settings_.config),
      bounce_(loop, *settings_.config),
      flush_(loop, *settings_.config),
      fast_flush_domains_(open_fast_flush_domains(settings_.config, loop)),
      old_relay_domains_(config::uses_old_default(*settings_.config, "relay_domains")),
      work_(loop),
      timer_(loop, [this] { pump(); }),
      loaders_(loop, "message intake", kLoaders),
      background_(loop, "queue manager", kBackground),
      deliveries_(loop, "delivery", kDeliveries) {}

Manager::~Manager() = default;

std::size_t Manager::background_limit() { return kBackground; }

void Manager::start() {
  intake_.scan_incoming();
  intake_.scan_deferred(Intake::Times::respect);
  background_.spawn(take_in());
  background_.spawn(scan_periodically());
  background_.spawn(journal_.run());
}

net::Task<> Manager::stop(std::chrono::seconds limit) {
  stopping_ = true;
  timer_.clear();
  const Deadline deadline = within(limit);
  while ((deliveries_.size() > 0 || ending_workers_ > 0) && !deadline.passed()) {
    const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(10)));
    if (!slept) { break; }
  }
  co_await loaders_.cancel_and_join();
  co_await background_.cancel_and_join();
  co_await deliveries_.cancel_and_join();
}

void Manager::act_on(const std::vector<clients::QmgrTrigger>& triggers) {
  namespace letters = clients::qmgr_trigger;
  // A and F concern the scans that D and I start, wherever they stand in the buffer (qmgr(8), TRIGGERS).
  bool ignore_times = false;
  bool deferred = false;
  for (const clients::QmgrTrigger& trigger : triggers) {
    switch (trigger.letter) {
      case letters::kMessage:
        if (auto id = queue::QueueId::parse(trigger.queue_id)) { intake_.announce(std::move(*id)); }
        break;
      case letters::kScanAll:
        ignore_times = true;
        break;
      case letters::kFlushDeferred:
        scheduler_.forget_dead();
        break;
      case letters::kScanDeferred:
        deferred = true;
        break;
      default:
        intake_.scan_incoming();
    }
  }
  if (deferred || ignore_times) {
    intake_.scan_deferred(ignore_times ? Intake::Times::ignore : Intake::Times::respect);
  }
  work_.notify_all();
}

net::Task<> Manager::scan_periodically() {
  for (;;) {
    const auto slept = co_await net::sleep_until(within(settings_.queue_run_delay));
    if (!slept) { co_return; }
    intake_.scan_deferred(Intake::Times::respect);
    intake_.scan_incoming();
    work_.notify_all();
  }
}

std::string Manager::log_address(const std::string& address) const {
  return settings_.external_addresses ? mail::quote_822_local(address) : address;
}

void Manager::add_entry(Message& message, Delivery delivery) {
  const EntryKey key = ++last_entry_;
  ++message.entries;
  message.recipients += delivery.recipients.size();
  recipients_ += delivery.recipients.size();
  entries_.emplace(key, std::make_unique<Entry>(Entry{&message, std::move(delivery)}));
  schedule(key);
}

/// Gives the entry to the scheduler, or to the retry service when its destination is dead.
void Manager::schedule(EntryKey key) {
  const Entry& entry = *entries_.at(key);
  const TimePoint now = SteadyClock::now();
  const auto why = scheduler_.suspended(entry.delivery.transport, entry.delivery.destination, now);
  if (why) {
    postpone({key}, *why);
    return;
  }
  scheduler_.add(entry.message->key, entry.delivery.transport, entry.delivery.destination, key, now);
}

/// Entries that cannot be delivered now are deferred by the retry service, as any other outcome is logged and recorded
/// by an agent.
void Manager::postpone(const std::vector<EntryKey>& entries, const dsn::Status& status) {
  for (const EntryKey key : entries) {
    Entry& entry = *entries_.at(key);
    if (entry.delivery.transport == kRetryTransport) {
      // The retry service itself is missing.
      to_defer_here_.push_back(key);
      if (!deferring_here_) {
        deferring_here_ = true;
        deliveries_.spawn(defer_here());
      }
      continue;
    }
    Route route = deferring_route(status, {});
    entry.delivery.transport = std::move(route.transport);
    entry.delivery.nexthop = route.nexthop;
    entry.delivery.destination = std::move(route.nexthop);
    schedule(key);
  }
}

/// Starts what may start.
void Manager::pump() {
  if (stopping_ || pumping_) { return; }
  pumping_ = true;
  const TimePoint now = SteadyClock::now();
  while (const auto pick = scheduler_.next(now)) {
    deliveries_.spawn(deliver(pick->entry, pick->more_for_destination));
  }
  const auto event = scheduler_.next_event();
  if (event) {
    timer_.set(Deadline(*event));
  } else {
    timer_.clear();
  }
  pumping_ = false;
}

delivery::DeliverRequest Manager::make_request(const Entry& entry, bool more_for_destination) const {
  namespace attr = queue::attr;
  const Message& message = *entry.message;
  const queue::Envelope& envelope = message.envelope;
  const auto text_of = [&](std::string_view name) { return std::string(envelope.attribute(name)); };
  delivery::DeliverRequest request;
  request.queue_name = queue::to_string(queue::QueueName::active);
  request.queue_id = message.id.str();
  request.nexthop = entry.delivery.nexthop;
  request.transport = entry.delivery.transport;
  const auto trace = text::parse_unsigned(envelope.attribute(attr::trace_flags)).value_or(0);
  if ((trace & kTraceOnly) != 0) { request.flags |= delivery::kProbe | delivery::kReportSuccess; }
  if ((trace & kTraceRecord) != 0) { request.flags |= delivery::kReportSuccess; }
  if (more_for_destination) { request.flags |= delivery::kSaveSession; }
  request.arrival = message.arrival;
  request.active_since = message.active_since;
  request.size_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, envelope.size.message_size));
  request.sender = request_sender(envelope.sender, envelope.verp_delimiters, entry.delivery.recipients);
  request.dsn_envid = envelope.dsn_envid;
  request.dsn_ret = envelope.dsn_ret;
  request.encoding = envelope.encoding;
  request.smtputf8 = (envelope.size.smtputf8_flags & queue::kSmtpUtf8Requested) != 0;
  request.rewrite_context = envelope.rewrite_context;
  request.client_name = text_of(attr::log_client_name);
  request.client_address = text_of(attr::log_client_address);
  request.client_port = text_of(attr::log_client_port);
  request.client_protocol = text_of(attr::log_protocol_name);
  request.client_helo = text_of(attr::log_helo_name);
  request.log_ident = text_of(attr::log_ident);
  request.sasl_method = text_of(attr::sasl_method);
  request.sasl_username = text_of(attr::sasl_username);
  request.sasl_sender = text_of(attr::sasl_sender);
  request.recipients = entry.delivery.recipients;
  return request;
}

net::Task<> Manager::deliver(EntryKey key, bool more_for_destination) {
  delivery::DeliverRequest request = make_request(*entries_.at(key), more_for_destination);
  const auto answer = co_await agents_.deliver(std::move(request), settings_.daemon_timeout);
  if (answer.kind != AgentAnswer::Kind::cancelled) { on_answer(key, answer); }
}

void Manager::on_answer(EntryKey key, const AgentAnswer& answer) {
  Entry& entry = *entries_.at(key);
  const TimePoint now = SteadyClock::now();
  const std::string transport = entry.delivery.transport;
  switch (answer.kind) {
    case AgentAnswer::Kind::replied: {
      const auto& failure = answer.reply.destination;
      dsn::Status why;
      if (failure) { why = {failure->status, "delivery temporarily suspended: " + failure->reason}; }
      const auto waiting = scheduler_.finished(key, failure ? Ending::unreachable : Ending::reached, why, now);
      entry.message->damaged |= answer.reply.damaged;
      end_entry(key, answer.reply.complete);
      postpone(waiting, why);
      break;
    }
    case AgentAnswer::Kind::unavailable: {
      if (!scheduler_.suspended(transport, entry.delivery.destination, now)) {
        log::warning("connect to transport private/{}: {}", transport, answer.problem);
      }
      auto waiting = scheduler_.finished(key, Ending::unknown, {}, now);
      SP_ASSERT(waiting.empty());
      waiting = scheduler_.suspend_transport(transport, kTransportUnavailable, now);
      waiting.insert(waiting.begin(), key);
      postpone(waiting, kTransportUnavailable);
      break;
    }
    case AgentAnswer::Kind::lost:
    case AgentAnswer::Kind::cancelled: {
      log::warning("private/{} socket: malformed response", transport);
      log::debug("{}: {}", entry.message->id.str(), answer.problem);
      const auto waiting = scheduler_.finished(key, Ending::unknown, {}, now);
      SP_ASSERT(waiting.empty());
      end_entry(key, false);
      break;
    }
  }
  pump();
  work_.notify_all();
}

void Manager::end_entry(EntryKey key, bool complete) {
  const auto found = entries_.find(key);
  const std::unique_ptr<Entry> entry = std::move(found->second);
  entries_.erase(found);
  Message& message = *entry->message;
  const std::size_t count = entry->delivery.recipients.size();
  --message.entries;
  message.recipients -= count;
  recipients_ -= count;
  if (!complete) {
    message.incomplete = true;
    constexpr std::size_t kSites = 100;
    for (const clients::RecipientRecord& recipient : entry->delivery.recipients) {
      if (fast_flush_domains_.empty() || message.deferred_sites.size() >= kSites) { break; }
      const std::size_t at = recipient.address.rfind('@');
      if (at != std::string::npos) { message.deferred_sites.insert(text::to_lower(recipient.address.substr(at + 1))); }
    }
  }
  check_done(message);
}

/// Defers without an agent: the last resort when the retry service does not answer. The nexthop of such an entry is the
/// reason.
net::Task<> Manager::defer_here() {
  while (!to_defer_here_.empty()) {
    const EntryKey key = to_defer_here_.front();
    to_defer_here_.pop_front();
    Entry& entry = *entries_.at(key);
    const Message& message = *entry.message;
    delivery::Outcome outcome;
    outcome.kind = delivery::Kind::deferred;
    outcome.status = dsn::split_status(entry.delivery.nexthop, "4.3.0");
    const delivery::Timing timing{message.arrival, message.active_since, Clock::now(), {}};
    for (const clients::RecipientRecord& recipient : entry.delivery.recipients) {
      clients::BounceAppend append{
          message.id.str(), delivery::make_report(recipient, outcome, clients::RecipientReport::Action::delayed)};
      const auto appended = co_await bounce_.append(clients::ReportLog::defer, std::move(append));
      if (!appended) {
        if (appended.error().is(std::errc::operation_canceled)) { co_return; }
        log::warning("{}: {}", message.id.str(), appended.error().message());
      }
      delivery::log_outcome(message.id.str(), recipient, outcome, "deferred", timing, settings_.delay_decimals);
    }
    end_entry(key, false);
    work_.notify_all();
  }
  deferring_here_ = false;
}

}  // namespace stagepost::qmgr
