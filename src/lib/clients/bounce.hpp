// Client of the bounce, defer and trace services (bounce_service_name, defer_service_name, trace_service_name): each
// keeps a log per message and turns it into a report to the sender. Message types 0x04xx.
#pragma once

#include <cstdint>
#include <string>

#include "clients/recipient.hpp"
#include "config/snapshot.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::clients {

/// What happened to one recipient, as the report will tell it (RFC 3464 §2.3).
struct RecipientReport {
  /// The last two answer `sendmail -bv`, which delivers nothing.
  enum class Action : std::uint8_t {
    failed,
    delayed,
    delivered,
    relayed,
    expanded,
    deliverable,
    undeliverable,
    kLast = undeliverable
  };
  RecipientRecord recipient;
  Action action = Action::failed;
  std::string status;           ///< enhanced status code "5.1.1"
  std::string reason;           ///< text as in the log line
  std::string remote_mta;       ///< host name of the MTA that refused; empty: none
  std::string diagnostic_type;  ///< "smtp", "x-unix", "x-stagepost"; empty: none
  std::string diagnostic;       ///< e.g. the reply "550 5.1.1 User unknown"
  auto fields(this auto& self, auto&& visit) {
    return visit(self.recipient, self.action, self.status, self.reason, self.remote_mta, self.diagnostic_type,
                 self.diagnostic);
  }
};

/// Adds a recipient to the log of a message. Answer: Ack once it is on disk (page cache; the queue file still has the
/// recipient until the caller marks it done).
struct BounceAppend {
  static constexpr std::uint16_t kType = 0x0401;
  std::string queue_id;
  RecipientReport report;
  auto fields(this auto& self, auto&& visit) { return visit(self.queue_id, self.report); }
};

/// The message a report is about.
struct ReportedMessage {
  std::string queue_name;  ///< where its file is now ("active")
  std::string queue_id;
  std::string sender;  ///< internal form; who gets the report
  std::string encoding;
  bool smtputf8 = false;
  std::string dsn_envid;
  std::uint32_t dsn_ret = 0;  ///< queue::RetFlags
  /// Non-delivery reports go to each recipient's own sender address, one for each; empty: one report to `sender`.
  std::string verp_delimiters;
  auto fields(this auto& self, auto&& visit) {
    return visit(self.queue_name, self.queue_id, self.sender, self.encoding, self.smtputf8, self.dsn_envid,
                 self.dsn_ret, self.verp_delimiters);
  }
};

/// Sends the report for everything in the log; Ack only when it is safely queued (or needs none) and the log is gone
/// (bounce, trace). The defer service keeps its log for `warning` and removes it for `drop`.
struct BounceFlush {
  static constexpr std::uint16_t kType = 0x0402;
  enum class What : std::uint8_t {
    report,   ///< bounce: non-delivery report; trace: success report; defer: report everything as undeliverable
              ///< (expired)
    warning,  ///< defer: delay warning
    drop,     ///< remove the log without a report
    kLast = drop
  };
  What what = What::report;
  ReportedMessage message;
  auto fields(this auto& self, auto&& visit) { return visit(self.what, self.message); }
};

/// Bounces one recipient at once, without a log (mail that is never in the queue under its own id).
struct BounceOne {
  static constexpr std::uint16_t kType = 0x0403;
  ReportedMessage message;
  RecipientReport report;
  auto fields(this auto& self, auto&& visit) { return visit(self.message, self.report); }
};

/// Which of the three services.
enum class ReportLog : std::uint8_t { bounce, defer, trace };

class BounceClient {
 public:
  BounceClient(net::EventLoop& loop, const config::Snapshot& config);

  /// Each fails when the service cannot be reached or says no: then the recipient is not done.
  [[nodiscard]] net::Task<Result<>> append(ReportLog log, BounceAppend request);
  [[nodiscard]] net::Task<Result<>> flush(ReportLog log, BounceFlush::What what, ReportedMessage message);
  [[nodiscard]] net::Task<Result<>> bounce_one(BounceOne request);

 private:
  [[nodiscard]] ipc::ClientPool& pool(ReportLog log);
  template <class Request>
  [[nodiscard]] net::Task<Result<>> ask(ipc::ClientPool& service, Request request);

  ipc::ClientPool bounce_;
  ipc::ClientPool defer_;
  ipc::ClientPool trace_;
  std::chrono::seconds timeout_;
};

}  // namespace stagepost::clients
