// One delivery request while an agent works on it: the queue file, the recipients, and the record of what happened to
// each. Every outcome goes through record(): the log line, the bounce/defer/trace report and the mark in the queue file
// happen there and nowhere else.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "clients/bounce.hpp"
#include "config/snapshot.hpp"
#include "delivery/request.hpp"
#include "mail/dsn.hpp"
#include "net/task.hpp"
#include "queue/directory.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::delivery {

/// Times of one attempt, for delays=a/b/c/d: before qmgr, in qmgr, connection set-up, transmission.
struct Timing {
  using Clock = std::chrono::system_clock;
  Clock::time_point arrival;
  Clock::time_point active_since;
  Clock::time_point agent_start;
  /// When the connection was ready; epoch: no connection was made, all of the agent's time counts as transmission.
  Clock::time_point connected;
};

/// "delay=1.2, delays=0.1/0/0.5/0.6": two significant digits, at most `decimals` of them below a second (parameter
/// delay_logging_resolution_limit). An arrival after active_since and the like count as zero, never as negative.
[[nodiscard]] std::string format_delays(const Timing& timing, Timing::Clock::time_point done, int decimals);

enum class Kind {
  sent,      ///< delivered or passed on
  deferred,  ///< try again
  bounced,   ///< will never work
  expanded   ///< an alias: other recipients took its place ("sent" in the log, no success of its own)
};

struct Outcome {
  Kind kind = Kind::sent;
  dsn::Status status;          ///< code, and the text in parentheses of the log line
  std::string relay = "none";  ///< "mx.example[192.0.2.1]:25", "virtual", "local"
  std::string remote_mta;      ///< host name for Remote-MTA; empty: none
  std::string diagnostic_type;
  std::string diagnostic;
  /// RFC 3464: delivered to a mailbox, or relayed to an MTA without DSN support.
  clients::RecipientReport::Action success_action = clients::RecipientReport::Action::delivered;
  /// False: the next server supports DSN and reports success itself (RFC 3461 §5.2.1).
  bool report_success = true;
  std::string log_fields;  ///< extra "name=value, " before delay=, e.g. "conn_use=3, "
};

/// The log line of one outcome, as administrators' tools parse it:
/// "ID: to=<a>, orig_to=<b>, relay=R, delay=.., delays=.., dsn=D, status=WORD (text)". Also for qmgr's own outcomes.
void log_outcome(const std::string& queue_id, const clients::RecipientRecord& recipient, const Outcome& outcome,
                 std::string_view word, const Timing& timing, int decimals);
/// The report of an outcome, for the bounce, defer and trace services.
[[nodiscard]] clients::RecipientReport make_report(const clients::RecipientRecord& recipient, const Outcome& outcome,
                                                   clients::RecipientReport::Action action);

class Attempt {
 public:
  /// Opens the queue file of the request and takes its lock in shared mode. Failures: not there (already delivered by
  /// someone else), damaged.
  [[nodiscard]] static Result<Attempt> open(DeliverRequest request, const queue::QueueDirectory& directory,
                                            const config::SnapshotPtr& config, clients::BounceClient& bounce);

  [[nodiscard]] const DeliverRequest& request() const { return request_; }
  [[nodiscard]] const queue::Envelope& envelope() const { return envelope_; }
  /// For the content: rewind_content(envelope()), next_line().
  [[nodiscard]] queue::MessageReader& reader() { return reader_; }
  [[nodiscard]] const config::Snapshot& config() const { return *config_; }
  [[nodiscard]] Timing& timing() { return timing_; }

  /// Logs, reports and marks. With soft_bounce a bounce becomes a deferral. A bounce that cannot be reported becomes a
  /// deferral too. Returns what it became.
  [[nodiscard]] net::Task<Kind> record(clients::RecipientRecord recipient, Outcome outcome);
  /// As record(), for an address that stands in for a recipient of the request (member of an alias, ~/.forward): logged
  /// and reported, nothing is marked. When all that came of the recipient has its outcome: settle().
  [[nodiscard]] net::Task<Kind> note(clients::RecipientRecord recipient, Outcome outcome);
  /// Success report "expanded" (RFC 3464 §2.3.3) for a recipient that wants one: others take its place. Not logged.
  [[nodiscard]] net::Task<> note_expansion(clients::RecipientRecord recipient, std::string text);
  /// `recipient`, of the request, is done with; unless `kind` is deferred, it is marked in the queue file.
  void settle(const clients::RecipientRecord& recipient, Kind kind);
  /// The same outcome for every recipient of the request that has none yet.
  [[nodiscard]] net::Task<> record_rest(Outcome outcome);
  /// Recipients of the request that have no outcome yet.
  [[nodiscard]] std::vector<clients::RecipientRecord> pending() const;
  void set_destination_failure(DestinationFailure destination_failure);

  /// The answer to qmgr, from what was recorded; recipients without outcome count as deferred.
  [[nodiscard]] DeliverReply reply() const;

 private:
  Attempt(DeliverRequest request, queue::MessageReader reader, queue::Envelope envelope, config::SnapshotPtr config,
          clients::BounceClient& bounce);
  [[nodiscard]] net::Task<Result<>> report(clients::ReportLog log, clients::RecipientReport report);
  [[nodiscard]] net::Task<Kind> note_probe(clients::RecipientRecord recipient, Outcome outcome);
  void mark_done(const clients::RecipientRecord& recipient);

  DeliverRequest request_;
  queue::MessageReader reader_;
  queue::Envelope envelope_;
  config::SnapshotPtr config_;
  clients::BounceClient* bounce_;
  Timing timing_;
  std::vector<bool> recorded_;
  bool all_done_ = true;
  std::optional<DestinationFailure> destination_failure_;
};

}  // namespace stagepost::delivery
