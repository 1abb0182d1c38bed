#include "qmgr/scheduler.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace stagepost::qmgr {

// One message's entries for one destination. A peer with entries is either ready (in its job's ring) or waits at its
// destination for room.
struct Scheduler::Peer {
  Peer(Job& owner, Destination& target) : job(&owner), destination(&target) {}
  Job* job;
  Destination* destination;
  std::deque<EntryKey> entries;
  bool ready = false;
  std::list<Peer*>::iterator place;  // in Job::ready, when ready
};

struct Scheduler::Job {
  Job(MessageKey key, Transport& owner, std::int64_t first_rank, TimePoint now)
      : message(key), transport(&owner), rank(first_rank), enqueued(now) {}
  MessageKey message;
  Transport* transport;
  // Order among the jobs of the transport; a job that preempts another gets a rank in front of all.
  std::int64_t rank;
  TimePoint enqueued;
  std::map<Destination*, std::unique_ptr<Peer>> peers;
  std::list<Peer*> ready;
  std::size_t remaining = 0;  // entries not started
  std::size_t selected = 0;   // entries started, ever
  std::int64_t slots_used = 0;

  [[nodiscard]] std::int64_t slots(std::size_t entries, const TransportRules& rules) const {
    return static_cast<std::int64_t>(entries / rules.slot_cost) - slots_used;
  }
};

struct Scheduler::Destination {
  Destination(Transport& owner, std::string_view its_name, const ConcurrencyRules& rules)
      : transport(&owner), name(its_name), window(rules) {}
  Transport* transport;
  std::string name;
  ConcurrencyWindow window;
  std::size_t busy = 0;
  std::size_t waiting = 0;  // entries
  std::size_t ready_peers = 0;
  std::map<std::int64_t, Peer*> waiters;  // by the rank of their job
  std::unordered_map<Job*, Peer*> peers;
  TimePoint not_before{};  // rate delay
  std::optional<TimePoint> dead_until;
  std::list<Destination*>::iterator dead_place;
  dsn::Status why;
};

struct Scheduler::Transport {
  std::string name;
  TransportRules rules;
  std::map<std::string, std::unique_ptr<Destination>, std::less<>> destinations;
  std::unordered_map<MessageKey, std::unique_ptr<Job>> jobs;
  std::map<std::int64_t, Job*> ready;  // by rank
  // The same jobs by what they still have to start, oldest first: candidates for preemption.
  std::map<std::size_t, std::map<std::int64_t, Job*>> by_size;
  std::int64_t last_rank = 0;
  std::int64_t first_rank = 0;
  std::size_t running = 0;
  TimePoint not_before{};
  std::optional<TimePoint> dead_until;
  dsn::Status why;
};

Scheduler::Scheduler(SchedulerRules rules, std::function<TransportRules(std::string_view)> rules_of)
    : rules_(rules), rules_of_(std::move(rules_of)) {}

Scheduler::~Scheduler() = default;

Scheduler::Transport& Scheduler::transport(std::string_view name) {
  const auto found = transports_.find(name);
  if (found != transports_.end()) { return *found->second; }
  auto made = std::make_unique<Transport>();
  made->name = name;
  made->rules = rules_of_(name);
  Transport& result = *made;
  transports_.emplace(std::string(name), std::move(made));
  turns_.push_back(&result);
  return result;
}

std::optional<dsn::Status> Scheduler::suspended(std::string_view transport_name, std::string_view destination_name,
                                                TimePoint now) {
  const auto found = transports_.find(transport_name);
  if (found == transports_.end()) { return std::nullopt; }
  Transport& owner = *found->second;
  if (owner.dead_until) {
    if (now < *owner.dead_until) { return owner.why; }
    owner.dead_until.reset();
  }
  const auto destination = owner.destinations.find(destination_name);
  if (destination == owner.destinations.end() || !destination->second->dead_until) { return std::nullopt; }
  Destination& dead = *destination->second;
  if (now < *dead.dead_until) { return dead.why; }
  revive(dead, now);
  return std::nullopt;
}

void Scheduler::add(MessageKey message, std::string_view transport_name, std::string_view destination_name,
                    EntryKey entry, TimePoint now) {
  Transport& owner = transport(transport_name);
  auto destination = owner.destinations.find(destination_name);
  if (destination == owner.destinations.end()) {
    auto made = std::make_unique<Destination>(owner, destination_name, owner.rules.concurrency);
    destination = owner.destinations.emplace(made->name, std::move(made)).first;
  }
  Destination& target = *destination->second;
  SP_ASSERT(!target.dead_until && !owner.dead_until);

  std::unique_ptr<Job>& job = owner.jobs[message];
  if (!job) { job = std::make_unique<Job>(message, owner, ++owner.last_rank, now); }
  std::unique_ptr<Peer>& peer = job->peers[&target];
  const bool fresh = !peer;
  if (fresh) {
    peer = std::make_unique<Peer>(*job, target);
    target.peers.emplace(job.get(), peer.get());
  }
  const bool was_ready = !job->ready.empty();
  if (was_ready) { leave_ready(*job); }  // its size changes
  peer->entries.push_back(entry);
  ++job->remaining;
  ++target.waiting;
  ++waiting_;
  if (was_ready) { enter_ready(*job); }
  if (fresh) { make_ready(*peer); }
}

void Scheduler::enter_ready(Job& job) {
  job.transport->ready.emplace(job.rank, &job);
  job.transport->by_size[job.remaining].emplace(job.rank, &job);
}

void Scheduler::leave_ready(Job& job) {
  job.transport->ready.erase(job.rank);
  const auto size = job.transport->by_size.find(job.remaining);
  SP_ASSERT(size != job.transport->by_size.end());
  size->second.erase(job.rank);
  if (size->second.empty()) { job.transport->by_size.erase(size); }
}

void Scheduler::make_ready(Peer& peer) {
  Job& job = *peer.job;
  if (job.ready.empty()) { enter_ready(job); }
  peer.ready = true;
  peer.place = job.ready.insert(job.ready.end(), &peer);
  ++peer.destination->ready_peers;
}

/// Takes a ready peer that cannot be served now off its job's ring.
void Scheduler::start_waiting(Peer& peer) {
  Job& job = *peer.job;
  job.ready.erase(peer.place);
  peer.ready = false;
  --peer.destination->ready_peers;
  peer.destination->waiters.emplace(job.rank, &peer);
  if (job.ready.empty()) { leave_ready(job); }
}

std::size_t Scheduler::room(const Destination& destination, TimePoint now) const {
  if (destination.dead_until || now < destination.not_before) { return 0; }
  const TransportRules& rules = destination.transport->rules;
  // "At most one delivery per delay" allows one at a time only.
  const std::size_t window = rules.destination_rate_delay.count() > 0 ? 1 : destination.window.size();
  return window > destination.busy ? window - destination.busy : 0;
}

/// As many peers as the destination has room for are ready, as long as there are any.
void Scheduler::wake(Destination& destination, TimePoint now) {
  const std::size_t places = room(destination, now);
  while (destination.ready_peers < places && !destination.waiters.empty()) {
    Peer& peer = *destination.waiters.begin()->second;
    destination.waiters.erase(destination.waiters.begin());
    make_ready(peer);
  }
}

std::optional<Scheduler::Pick> Scheduler::next(TimePoint now) {
  run_timers(now);
  for (std::size_t tried = 0; tried < turns_.size(); ++tried) {
    Transport& candidate = *turns_[turn_];
    turn_ = (turn_ + 1) % turns_.size();
    auto pick = next_of(candidate, now);
    if (pick) { return pick; }
  }
  return std::nullopt;
}

void Scheduler::run_timers(TimePoint now) {
  while (!rate_timers_.empty() && rate_timers_.begin()->first <= now) {
    Destination& destination = *rate_timers_.begin()->second;
    rate_timers_.erase(rate_timers_.begin());
    wake(destination, now);
    forget_if_unused(destination, now);
  }
  while (!dead_.empty() && *dead_.front()->dead_until <= now) { revive(*dead_.front(), now); }
}

/// Its time is over, or is made to be: it begins anew, with the initial concurrency.
void Scheduler::revive(Destination& destination, TimePoint now) {
  dead_.erase(destination.dead_place);
  destination.dead_until.reset();
  destination.window = ConcurrencyWindow(destination.transport->rules.concurrency);
  forget_if_unused(destination, now);
}

std::optional<Scheduler::Pick> Scheduler::next_of(Transport& owner, TimePoint now) {
  if (owner.running >= owner.rules.deliveries || now < owner.not_before) { return std::nullopt; }
  preempt(owner, now);
  while (!owner.ready.empty()) {
    Job& job = *owner.ready.begin()->second;
    Peer& peer = *job.ready.front();
    Destination& destination = *peer.destination;
    if (room(destination, now) == 0) {
      start_waiting(peer);
      continue;
    }
    leave_ready(job);
    Pick pick;
    pick.entry = peer.entries.front();
    peer.entries.pop_front();
    --job.remaining;
    ++job.selected;
    --waiting_;
    --destination.waiting;
    ++destination.busy;
    ++owner.running;
    // Several at once are a stream of mail as well: with the next one the session would be opened again.
    pick.more_for_destination = destination.waiting > 0 || destination.busy > 1;
    running_.emplace(pick.entry, &destination);
    if (owner.rules.transport_rate_delay.count() > 0) { owner.not_before = now + owner.rules.transport_rate_delay; }
    // Destinations of a job take turns.
    job.ready.splice(job.ready.end(), job.ready, peer.place);
    enter_ready(job);
    if (peer.entries.empty()) { drop_peer(peer); }
    wake(destination, now);
    return pick;
  }
  return std::nullopt;
}

/// Lets a small job slip in front of the one whose turn it is (SCHEDULER_README, "how the preemption works").
void Scheduler::preempt(Transport& owner, TimePoint now) {
  const TransportRules& rules = owner.rules;
  if (owner.ready.size() < 2 || rules.slot_cost < 2) { return; }
  Job& current = *owner.ready.begin()->second;
  const std::int64_t possible = current.slots(current.selected + current.remaining, rules);
  if (possible <= static_cast<std::int64_t>(rules.minimum_slots)) { return; }

  // The best candidate has waited longest for its size. Of each size only the oldest counts; sizes beyond the first few
  // dozen are left out, which bounds the work and costs nothing but a little order among big jobs.
  constexpr std::size_t kSizesLookedAt = 32;
  Job* best = nullptr;
  double best_score = -1;
  std::size_t looked_at = 0;
  for (const auto& [size, jobs] : owner.by_size) {
    if (static_cast<std::int64_t>(size) > possible || ++looked_at > kSizesLookedAt) { break; }
    for (const auto& [rank, job] : jobs) {
      if (job == &current) { continue; }
      const double age = std::chrono::duration<double>(now - job->enqueued).count() + 1;
      const double score = age / static_cast<double>(size);
      if (score > best_score) {
        best_score = score;
        best = job;
      }
      break;
    }
  }
  if (best == nullptr) { return; }

  const std::int64_t earned = current.slots(current.selected, rules);
  const auto discount = static_cast<std::int64_t>(std::min<std::size_t>(rules.slot_discount_percent, 100));
  const auto cost = static_cast<std::int64_t>(best->remaining);
  if (cost * (100 - discount) / 100 - static_cast<std::int64_t>(rules.slot_loan) > earned) { return; }
  current.slots_used += cost;
  leave_ready(*best);
  // Peers that wait for room keep their places by the job's old rank; a small job has few, so they move.
  const std::int64_t old_rank = best->rank;
  best->rank = --owner.first_rank;
  for (const auto& [destination, peer] : best->peers) {
    if (peer->ready) { continue; }
    destination->waiters.erase(old_rank);
    destination->waiters.emplace(best->rank, peer.get());
  }
  enter_ready(*best);
}

/// Forgets a peer without entries, and its job when it was the last one.
void Scheduler::drop_peer(Peer& peer) {
  Job& job = *peer.job;
  Destination& destination = *peer.destination;
  if (peer.ready) {
    job.ready.erase(peer.place);
    --destination.ready_peers;
    if (job.ready.empty()) { leave_ready(job); }
  } else {
    destination.waiters.erase(job.rank);
  }
  destination.peers.erase(&job);
  job.peers.erase(&destination);  // peer is gone now
  if (job.peers.empty()) { job.transport->jobs.erase(job.message); }
}

std::vector<EntryKey> Scheduler::take_waiting(Destination& destination) {
  std::vector<EntryKey> taken;
  taken.reserve(destination.waiting);
  // In the order of the jobs, so that they are deferred in the order they came.
  std::map<std::int64_t, Peer*> in_order;
  for (const auto& [job, peer] : destination.peers) { in_order.emplace(job->rank, peer); }
  for (const auto& [rank, peer] : in_order) {
    const bool was_ready = !peer->job->ready.empty();
    if (was_ready) { leave_ready(*peer->job); }
    taken.insert(taken.end(), peer->entries.begin(), peer->entries.end());
    peer->job->remaining -= peer->entries.size();
    peer->entries.clear();
    if (was_ready) { enter_ready(*peer->job); }
    drop_peer(*peer);
  }
  waiting_ -= destination.waiting;
  destination.waiting = 0;
  return taken;
}

std::vector<EntryKey> Scheduler::finished(EntryKey entry, Ending ending, const dsn::Status& status, TimePoint now) {
  const auto found = running_.find(entry);
  SP_ASSERT(found != running_.end());
  Destination& destination = *found->second;
  running_.erase(found);
  Transport& owner = *destination.transport;
  const std::size_t busy = destination.busy;
  --destination.busy;
  --owner.running;
  if (owner.rules.destination_rate_delay.count() > 0) {
    rate_timers_.erase({destination.not_before, &destination});
    destination.not_before = now + owner.rules.destination_rate_delay;
    rate_timers_.emplace(destination.not_before, &destination);
  }
  std::vector<EntryKey> to_defer;
  if (!destination.dead_until) {
    if (ending == Ending::reached) { destination.window.succeeded(busy); }
    if (ending == Ending::unreachable) { destination.window.failed(); }
    if (destination.window.dead()) {
      to_defer = take_waiting(destination);
      if (dead_.size() < rules_.dead_limit) {
        destination.dead_until = now + rules_.minimal_backoff_time;
        destination.why = status;
        destination.dead_place = dead_.insert(dead_.end(), &destination);
      } else {
        destination.window = ConcurrencyWindow(owner.rules.concurrency);
      }
    }
  }
  wake(destination, now);
  forget_if_unused(destination, now);
  return to_defer;
}

std::vector<EntryKey> Scheduler::suspend_transport(std::string_view transport_name, const dsn::Status& status,
                                                   TimePoint now) {
  Transport& owner = transport(transport_name);
  owner.dead_until = now + rules_.transport_retry_time;
  owner.why = status;
  std::vector<EntryKey> taken;
  std::vector<Destination*> all;
  for (const auto& [name, destination] : owner.destinations) { all.push_back(destination.get()); }
  for (Destination* const destination : all) {
    const auto some = take_waiting(*destination);
    taken.insert(taken.end(), some.begin(), some.end());
    forget_if_unused(*destination, now);
  }
  return taken;
}

void Scheduler::forget_dead() {
  for (const auto& [name, owner] : transports_) { owner->dead_until.reset(); }
  while (!dead_.empty()) { revive(*dead_.front(), dead_.front()->not_before); }
}

/// What is known about a destination lives as long as something waits, runs, or has to be remembered.
void Scheduler::forget_if_unused(Destination& destination, TimePoint now) {
  if (destination.busy > 0 || destination.waiting > 0 || destination.dead_until || now < destination.not_before) {
    return;
  }
  rate_timers_.erase({destination.not_before, &destination});
  auto& all = destination.transport->destinations;
  all.erase(all.find(destination.name));
}

std::optional<TimePoint> Scheduler::next_event() const {
  std::optional<TimePoint> earliest;
  if (!rate_timers_.empty()) { earliest = rate_timers_.begin()->first; }
  for (const Transport* const owner : turns_) {
    if (owner->ready.empty() || owner->rules.transport_rate_delay.count() == 0 ||
        owner->running >= owner->rules.deliveries) {
      continue;
    }
    if (!earliest || owner->not_before < *earliest) { earliest = owner->not_before; }
  }
  return earliest;
}

std::size_t Scheduler::entries_of(std::string_view transport_name, std::string_view destination_name) const {
  const auto owner = transports_.find(transport_name);
  if (owner == transports_.end()) { return 0; }
  const auto destination = owner->second->destinations.find(destination_name);
  if (destination == owner->second->destinations.end()) { return 0; }
  return destination->second->waiting + destination->second->busy;
}

std::size_t Scheduler::destinations() const {
  std::size_t count = 0;
  for (const auto& [name, owner] : transports_) { count += owner->destinations.size(); }
  return count;
}

std::size_t Scheduler::jobs() const {
  std::size_t count = 0;
  for (const auto& [name, owner] : transports_) { count += owner->jobs.size(); }
  return count;
}

}  // namespace stagepost::qmgr
