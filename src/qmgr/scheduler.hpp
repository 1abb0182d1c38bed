// Decides which recipient entry is delivered next (SCHEDULER_README). Entries belong to a job (one message on one
// transport) and a destination (one nexthop of a transport). Transports take turns; within a transport jobs go first
// come, first served, except that a small job may slip in front of a big one that has earned delivery slots; within a
// job destinations take turns; each destination has a concurrency window and may be dead for a while. Pure: time is
// handed in, entries are numbers, nothing is delivered here. Every operation is logarithmic in what waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mail/dsn.hpp"
#include "qmgr/concurrency.hpp"

namespace stagepost::qmgr {

using TimePoint = std::chrono::steady_clock::time_point;
using MessageKey = std::uint64_t;
using EntryKey = std::uint64_t;

/// Parameters of one transport.
struct TransportRules {
  ConcurrencyRules concurrency = {};
  std::chrono::seconds destination_rate_delay{0};  ///< *_destination_rate_delay
  std::chrono::seconds transport_rate_delay{0};    ///< *_transport_rate_delay
  std::size_t deliveries = 100;                    ///< at once: maxproc of the service; 0: none may start
  std::size_t slot_cost = 5;                       ///< *_delivery_slot_cost; below 2: no preemption
  std::size_t slot_loan = 3;                       ///< *_delivery_slot_loan
  std::size_t slot_discount_percent = 50;          ///< *_delivery_slot_discount
  std::size_t minimum_slots = 3;                   ///< *_minimum_delivery_slots
};

struct SchedulerRules {
  std::chrono::seconds minimal_backoff_time{300};  ///< a dead destination is left alone this long
  std::chrono::seconds transport_retry_time{60};   ///< ... and a dead transport this long
  std::size_t dead_limit = 20000;                  ///< dead destinations remembered (qmgr_message_recipient_limit)
};

/// How a delivery ended, as far as scheduling is concerned.
enum class Ending : unsigned char {
  reached,      ///< without connection or handshake failure, whatever became of the recipients
  unreachable,  ///< connection or handshake failure
  unknown       ///< the agent was lost: says nothing about the destination
};

class Scheduler {
 public:
  /// `rules_of` is asked once for each transport name.
  Scheduler(SchedulerRules rules, std::function<TransportRules(std::string_view transport)> rules_of);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Why nothing may be added for this destination now: it or its transport is dead.
  [[nodiscard]] std::optional<dsn::Status> suspended(std::string_view transport, std::string_view destination,
                                                     TimePoint now);
  /// The entry waits for its turn. Only when suspended() says nothing. `entry` is unique among those not finished.
  void add(MessageKey message, std::string_view transport, std::string_view destination, EntryKey entry, TimePoint now);

  struct Pick {
    EntryKey entry = 0;
    bool more_for_destination = false;  ///< others wait for the same destination, or are under way: keep the session
  };
  /// The entry to start now, if any may start. It counts as running until finished() is called for it.
  [[nodiscard]] std::optional<Pick> next(TimePoint now);

  /// A running entry ended. Returns the entries that waited for the destination if it died of this: they are no longer
  /// known here and shall be deferred with `status`.
  [[nodiscard]] std::vector<EntryKey> finished(EntryKey entry, Ending ending, const dsn::Status& status, TimePoint now);
  /// The transport itself does not work: nothing is started on it for transport_retry_time. Returns all that waited.
  [[nodiscard]] std::vector<EntryKey> suspend_transport(std::string_view transport, const dsn::Status& status,
                                                        TimePoint now);
  /// Forgets which destinations and transports are dead (flush).
  void forget_dead();

  /// When next() may have something although nothing happens before: the end of a rate delay.
  [[nodiscard]] std::optional<TimePoint> next_event() const;

  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  [[nodiscard]] std::size_t running() const { return running_.size(); }
  /// Waiting and running entries of a destination.
  [[nodiscard]] std::size_t entries_of(std::string_view transport, std::string_view destination) const;
  /// Destinations and jobs in memory, for tests and metrics.
  [[nodiscard]] std::size_t destinations() const;
  [[nodiscard]] std::size_t jobs() const;

 private:
  struct Transport;
  struct Destination;
  struct Job;
  struct Peer;

  [[nodiscard]] Transport& transport(std::string_view name);
  [[nodiscard]] std::optional<Pick> next_of(Transport& transport, TimePoint now);
  void preempt(Transport& transport, TimePoint now);
  void start_waiting(Peer& peer);
  void make_ready(Peer& peer);
  void leave_ready(Job& job);
  void enter_ready(Job& job);
  void wake(Destination& destination, TimePoint now);
  [[nodiscard]] std::size_t room(const Destination& destination, TimePoint now) const;
  void drop_peer(Peer& peer);
  [[nodiscard]] std::vector<EntryKey> take_waiting(Destination& destination);
  void forget_if_unused(Destination& destination, TimePoint now);
  void run_timers(TimePoint now);
  void revive(Destination& destination, TimePoint now);

  SchedulerRules rules_;
  std::function<TransportRules(std::string_view)> rules_of_;
  std::map<std::string, std::unique_ptr<Transport>, std::less<>> transports_;
  std::vector<Transport*> turns_;  // round robin over transports
  std::size_t turn_ = 0;
  std::unordered_map<EntryKey, Destination*> running_;
  std::set<std::pair<TimePoint, Destination*>> rate_timers_;
  std::list<Destination*> dead_;  // oldest first
  std::size_t waiting_ = 0;
};

}  // namespace stagepost::qmgr
