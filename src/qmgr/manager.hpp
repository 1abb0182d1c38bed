// The active queue at work: takes messages in, has their recipients resolved, hands entries to the scheduler and to the
// delivery agents, and ends each message: removed, deferred, returned to its sender, or saved as corrupt. A queue file
// is unlinked only when every recipient is done and every notification that is owed has been queued.
//
// Backpressure: a message stays in incoming/ until there is room in the active queue (qmgr_message_active_limit), and
// recipients stay in the queue file until there is room in memory (qmgr_message_recipient_limit). Announcements of new
// mail are read and remembered up to a limit, never answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "clients/bounce.hpp"
#include "clients/flush.hpp"
#include "clients/qmgr.hpp"
#include "clients/rewrite.hpp"
#include "maps/match_list.hpp"
#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "net/fd_watch.hpp"
#include "net/task_group.hpp"
#include "qmgr/agents.hpp"
#include "qmgr/intake.hpp"
#include "qmgr/journal_keeper.hpp"
#include "qmgr/scheduler.hpp"
#include "qmgr/settings.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::qmgr {

class Manager {
 public:
  Manager(net::EventLoop& loop, Settings settings);
  ~Manager();

  /// Replays journals of dead processes, then whatever an earlier process left in active/ goes back to incoming/, times
  /// kept. Before start().
  [[nodiscard]] net::Task<Result<>> recover();
  /// Begins to take in messages and to deliver.
  void start();
  /// What a trigger client sent (qmgr(8), TRIGGERS).
  void act_on(const std::vector<clients::QmgrTrigger>& triggers);
  /// Starts nothing more; waits at most `limit` for deliveries that run, then gives them up. Files stay in active/.
  [[nodiscard]] net::Task<> stop(std::chrono::seconds limit);
  /// The mail system stops: after stop(), leaves an empty journal if others empty theirs within `limit`.
  [[nodiscard]] net::Task<> empty_journal(std::chrono::seconds limit) { return journal_.stop(limit); }

 private:
  using Clock = std::chrono::system_clock;

  struct Message {
    Message(MessageKey number, queue::QueueId name) : key(number), id(std::move(name)) {}
    MessageKey key;
    queue::QueueId id;
    queue::Envelope envelope;
    Clock::time_point arrival;
    /// Of the queue file: a message that was queued again (postsuper -r) has a new life before it.
    Clock::time_point created;
    Clock::time_point active_since;
    std::optional<std::int64_t> next_offset;  ///< recipients that are not read yet
    std::size_t entries = 0;
    std::size_t recipients = 0;  ///< in memory
    bool flushed = false;
    bool force_expired = false;  ///< postsuper -e
    bool loading = true;
    bool incomplete = false;  ///< a recipient is not done
    bool damaged = false;     ///< an agent could not read the content
    std::set<std::string> deferred_sites;
  };
  struct Entry {
    Message* message;
    Delivery delivery;
  };

  // admission.cpp
  net::Task<> take_in();
  net::Task<> admit(Candidate candidate);
  net::Task<> refill(MessageKey key);
  [[nodiscard]] std::optional<queue::MessageReader> activate(Message& message, const Candidate& candidate);
  [[nodiscard]] std::optional<queue::MessageReader> reopen(Message& message);
  net::Task<> load(MessageKey key, queue::MessageReader reader);
  [[nodiscard]] net::Task<std::vector<Route>> find_routes(const Message& message, std::vector<std::string> recipients);
  void discard(const Message& message, const clients::RecipientRecord& recipient, queue::MessageReader& reader);
  void save_corrupt(Message& message, std::string_view reason);
  void forget(Message& message);
  net::Task<> look_again(queue::QueueName where);
  [[nodiscard]] std::size_t window_size() const;

  // manager.cpp
  void add_entry(Message& message, Delivery delivery);
  void schedule(EntryKey key);
  void postpone(const std::vector<EntryKey>& entries, const dsn::Status& status);
  void pump();
  net::Task<> deliver(EntryKey key, bool more_for_destination);
  void on_answer(EntryKey key, const AgentAnswer& answer);
  void end_entry(EntryKey key, bool complete);
  net::Task<> defer_here();
  [[nodiscard]] delivery::DeliverRequest make_request(const Entry& entry, bool more_for_destination) const;
  net::Task<> scan_periodically();
  [[nodiscard]] std::string log_address(const std::string& address) const;

  // completion.cpp
  void check_done(Message& message);
  net::Task<> work_off_refills();
  net::Task<> work_off_endings();
  [[nodiscard]] static std::size_t background_limit();
  net::Task<> end_message(MessageKey key);
  [[nodiscard]] bool has_report(queue::QueueName queue, const queue::QueueId& id) const;
  [[nodiscard]] clients::ReportedMessage reported(const Message& message) const;
  [[nodiscard]] net::Task<Result<>> send_reports(Message& message);
  net::Task<> warn_of_delay(Message& message);
  void remove(Message& message);
  void put_back(Message& message, std::chrono::seconds delay);
  void tell_flush_service(Message& message);
  net::Task<> add_to_flush_log(std::string site, std::string queue_id);

  net::EventLoop& loop_;
  Settings settings_;
  queue::QueueDirectory directory_;
  JournalKeeper journal_;
  Intake intake_;
  Scheduler scheduler_;
  Agents agents_;
  clients::RewriteClient rewrite_;
  clients::BounceClient bounce_;
  clients::FlushClient flush_;
  maps::MatchList fast_flush_domains_;
  bool old_relay_domains_;  ///< relay_domains=$mydestination because of a low compatibility_level

  std::unordered_map<MessageKey, std::unique_ptr<Message>> messages_;
  std::set<std::string, std::less<>> active_ids_;
  std::unordered_map<EntryKey, std::unique_ptr<Entry>> entries_;
  MessageKey last_message_ = 0;
  EntryKey last_entry_ = 0;
  std::size_t recipients_ = 0;  ///< in memory
  std::deque<MessageKey> endings_;
  std::size_t ending_workers_ = 0;
  std::deque<MessageKey> refills_;
  bool refilling_ = false;
  std::deque<EntryKey> to_defer_here_;
  bool deferring_here_ = false;
  bool stopping_ = false;
  bool pumping_ = false;

  net::Event work_;  ///< something to take in, room to take it in, or a delivery ended
  net::Timer timer_;
  net::TaskGroup loaders_;
  net::TaskGroup background_;
  net::TaskGroup deliveries_;
};

}  // namespace stagepost::qmgr
