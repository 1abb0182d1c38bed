// Sends the notices of one message: reads the log and the queue file, and streams reports to cleanup. A request is done
// only when every required report is safely queued.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/bounce.hpp"
#include "clients/cleanup.hpp"
#include "config/snapshot.hpp"
#include "net/event_loop.hpp"
#include "queue/directory.hpp"
#include "queue/message_reader.hpp"
#include "services/bounce/notice_plan.hpp"
#include "services/bounce/report_text.hpp"

namespace stagepost::bounce {

/// The recipients of a report; walked twice, never held in memory as a whole when they come from a log.
class Entries {
 public:
  virtual ~Entries() = default;
  [[nodiscard]] virtual Result<> rewind() = 0;
  [[nodiscard]] virtual Result<std::optional<clients::RecipientReport>> next() = 0;
};

/// A few that are in memory.
class ListedEntries final : public Entries {
 public:
  explicit ListedEntries(std::vector<clients::RecipientReport> entries) : entries_(std::move(entries)) {}
  Result<> rewind() override {
    next_ = 0;
    return {};
  }
  Result<std::optional<clients::RecipientReport>> next() override {
    if (next_ == entries_.size()) { return std::nullopt; }
    return entries_[next_++];
  }

 private:
  std::vector<clients::RecipientReport> entries_;
  std::size_t next_ = 0;
};

class Reporter {
 public:
  Reporter(net::EventLoop& loop, const config::Snapshot& config, queue::QueueDirectory directory);

  /// Everything that is to be told about these entries. An error: not all of it was, try again later.
  [[nodiscard]] net::Task<Result<>> report(Subject subject, const clients::ReportedMessage& message, Entries& entries);

  /// Recipients of the message that are not done yet, as expired: what is left to say when the defer log is missing.
  [[nodiscard]] Result<std::vector<clients::RecipientReport>> expired_recipients(
      const clients::ReportedMessage& message) const;
  /// The message asked for a report on every outcome (sendmail -v and -bv).
  [[nodiscard]] bool wants_every_outcome(const clients::ReportedMessage& message) const;

 private:
  /// The queue file of a message that is reported on.
  struct Original {
    queue::MessageReader reader;
    queue::Envelope envelope;
  };
  [[nodiscard]] Result<Original> open(const clients::ReportedMessage& message) const;
  [[nodiscard]] net::Task<Result<>> notify(const Notice& notice, const Report& report, Entries& entries,
                                           Original* original);
  [[nodiscard]] net::Task<Result<>> notify_each(Notice notice, Report report, std::string verp_delimiters,
                                                Entries& entries, Original* original);
  [[nodiscard]] net::Task<Result<std::string>> send(const Notice& notice, const Report& report, Entries& entries,
                                                    Original* original);
  [[nodiscard]] net::Task<Result<>> add_original(clients::Submission& submission, const Report& report,
                                                 Original& original) const;

  queue::QueueDirectory directory_;
  NoticePolicy policy_;
  TextSettings text_;
  std::uint32_t cleanup_flags_ = 0;
  clients::CleanupClient cleanup_;
};

}  // namespace stagepost::bounce
