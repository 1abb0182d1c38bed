// Client of cleanup (cleanup_service_name): hands a new message over. Used by smtpd, qmqpd, pickup, bounce and local
// forwarding. Message types 0x03xx. One connection carries one message at a time:
//
//   client: Open                         cleanup: Opened (queue ID; the file exists)
//   client: Recipients*, Content*, End   cleanup: Result (the message is durable, or why not)
//
// A client that goes away before Result has submitted nothing: cleanup discards the file.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "clients/recipient.hpp"
#include "config/snapshot.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::clients {

/// What cleanup shall do with the message; bits of CleanupOpen::flags.
enum CleanupFlags : std::uint32_t {
  kCleanupBounce = 1,     ///< a bad message is bounced to its sender, not reported in Result (pickup, forwarding)
  kCleanupFilter = 2,     ///< header_checks and body_checks
  kCleanupHold = 4,       ///< into the hold queue
  kCleanupMap = 8,        ///< canonical, masquerade, virtual_alias_maps
  kCleanupBcc = 16,       ///< always_bcc and friends
  kCleanupMilter = 32,    ///< non_smtpd_milters / the milters smtpd passes on
  kCleanupSmtpUtf8 = 64,  ///< SMTPUTF8 was requested
  kCleanupAutoUtf8 = 128  ///< detect the need for SMTPUTF8 (smtputf8_autodetect_classes)
};

struct CleanupOpen {
  static constexpr std::uint16_t kType = 0x0301;
  std::uint32_t flags = 0;
  /// When the message arrived; the default (epoch): now.
  std::chrono::system_clock::time_point arrival;
  std::string sender;     ///< internal form; empty: the null sender
  std::string full_name;  ///< for a From: header that is missing
  std::string filter;     ///< FILTER action or content_filter, "transport:nexthop"
  /// Each recipient gets a sender address of its own, made with these two characters; empty: no VERP.
  std::string verp_delimiters;
  /// Queue file attributes (queue/attributes.hpp): log_*, client_*, rewrite_context, envelope_id, ret_flags, sasl_* ...
  std::vector<Attribute> attributes;
  auto fields(this auto& self, auto&& visit) {
    return visit(self.flags, self.arrival, self.sender, self.full_name, self.filter, self.verp_delimiters,
                 self.attributes);
  }
};

struct CleanupOpened {
  static constexpr std::uint16_t kType = 0x0302;
  std::string queue_id;  ///< empty: the file could not be made
  std::string text;      ///< why not
  bool full = false;     ///< ... because the file system is full (452 4.3.1)
  auto fields(this auto& self, auto&& visit) { return visit(self.queue_id, self.text, self.full); }
};

/// More recipients; before, between and after Content.
struct CleanupRecipients {
  static constexpr std::uint16_t kType = 0x0303;
  std::vector<RecipientRecord> recipients;
  auto fields(this auto& self, auto&& visit) { return visit(self.recipients); }
};

/// The message's next bytes: lines that end in LF, cut anywhere. The last line may lack its LF.
struct CleanupContent {
  static constexpr std::uint16_t kType = 0x0304;
  std::string bytes;
  auto fields(this auto& self, auto&& visit) { return visit(self.bytes); }
};

struct CleanupEnd {
  static constexpr std::uint16_t kType = 0x0305;
  /// False: the client gives up (lost connection, ...): discard, answer with Status::aborted.
  bool commit = true;
  // What access tables ordered while recipients were coming in (access(5) HOLD, FILTER, REDIRECT, BCC).
  bool hold = false;
  std::string filter;            ///< "transport:nexthop"; empty: none
  std::string redirect;          ///< sent there instead of the recipients; empty: none
  std::vector<std::string> bcc;  ///< more recipients, who get no reports
  auto fields(this auto& self, auto&& visit) {
    return visit(self.commit, self.hold, self.filter, self.redirect, self.bcc);
  }
};

struct CleanupResult {
  static constexpr std::uint16_t kType = 0x0306;
  enum class Status : std::uint8_t {
    ok,
    too_large,      ///< message_size_limit: 552 5.3.4
    too_many_hops,  ///< hopcount_limit: 554 5.4.0
    no_recipients,  ///< 554 5.5.1 / sendmail: no recipients
    rejected,       ///< header_checks, body_checks, milters: `code` and `text` say it
    discarded,      ///< silently dropped on an administrator's order; report success
    no_space,       ///< 452 4.3.1
    write_error,    ///< 451 4.3.0
    temporary,      ///< a look-up failed: 451 4.3.0, or `code` and `text`
    bad_request,    ///< protocol misuse by the client: 451 4.3.0
    aborted,
    kLast = aborted
  };
  Status status = Status::ok;
  std::string code;  ///< enhanced status code, "5.7.1"
  std::string text;  ///< for the SMTP client or the bounce
  std::uint64_t size_bytes = 0;
  auto fields(this auto& self, auto&& visit) { return visit(self.status, self.code, self.text, self.size_bytes); }
};

class CleanupClient;

/// One message on its way to cleanup. Destroyed before finish() returned, it submits nothing.
class Submission {
 public:
  [[nodiscard]] const std::string& queue_id() const { return queue_id_; }
  [[nodiscard]] net::Task<Result<>> add_recipients(std::vector<RecipientRecord> recipients);
  /// Buffers and sends as needed; waits when cleanup is slower than the source (backpressure).
  [[nodiscard]] net::Task<Result<>> add_content(std::string bytes);
  /// Ends the message and waits for the verdict. Status::ok means durable.
  [[nodiscard]] net::Task<Result<CleanupResult>> finish() { return end({}); }
  [[nodiscard]] net::Task<Result<CleanupResult>> finish(CleanupEnd orders) { return end(std::move(orders)); }
  [[nodiscard]] net::Task<Result<CleanupResult>> abort();

 private:
  friend class CleanupClient;
  Submission(ipc::ClientPool::Lease lease, std::string queue_id, std::chrono::seconds timeout)
      : lease_(std::move(lease)), queue_id_(std::move(queue_id)), timeout_(timeout) {}
  [[nodiscard]] net::Task<Result<>> send_if_large();
  [[nodiscard]] net::Task<Result<CleanupResult>> end(CleanupEnd end);

  ipc::ClientPool::Lease lease_;
  std::string queue_id_;
  std::chrono::seconds timeout_;
};

/// Why open() failed: `full` asks for 452 4.3.1, anything else for 451 4.3.0.
struct CleanupRefusal {
  std::string text;
  bool full = false;
};

class CleanupClient {
 public:
  CleanupClient(net::EventLoop& loop, const config::Snapshot& config);
  [[nodiscard]] net::Task<std::expected<Submission, CleanupRefusal>> open(CleanupOpen request);

 private:
  ipc::ClientPool pool_;
  std::chrono::seconds timeout_;
};

}  // namespace stagepost::clients
