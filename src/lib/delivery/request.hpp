// What qmgr asks of a delivery agent, and the answer. Message types 0x07xx; one request at a time per connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clients/recipient.hpp"

namespace stagepost::delivery {

/// Bits of DeliverRequest::flags.
enum RequestFlags : std::uint32_t {
  kProbe = 1,          ///< address verification: report the outcome to verify, touch no mailbox, keep nothing
  kReportSuccess = 2,  ///< `sendmail -v`/-bv: report every outcome to the trace service
  kHaveBcc = 4,        ///< hidden recipients follow: no Delivered-To sharing
  kSaveSession = 8     ///< more mail for this nexthop is waiting: keep the session open
};

struct DeliverRequest {
  static constexpr std::uint16_t kType = 0x0701;
  std::string queue_name;  ///< "active"
  std::string queue_id;
  std::string nexthop;
  std::string transport;  ///< master.cf service name, for per-transport parameters
  std::uint32_t flags = 0;
  std::chrono::system_clock::time_point arrival;
  std::chrono::system_clock::time_point active_since;  ///< entered the active queue
  std::uint64_t size_bytes = 0;                        ///< message content
  std::string sender;                                  ///< internal form
  std::string dsn_envid;
  std::uint32_t dsn_ret = 0;
  std::string encoding;  ///< "7bit", "8bit" or empty
  bool smtputf8 = false;
  std::string rewrite_context;
  // For XFORWARD and log lines of the next server.
  std::string client_name;
  std::string client_address;
  std::string client_port;
  std::string client_protocol;
  std::string client_helo;
  std::string log_ident;
  std::string sasl_method;
  std::string sasl_username;
  std::string sasl_sender;
  std::vector<clients::RecipientRecord> recipients;
  auto fields(this auto& self, auto&& visit) {
    return visit(self.queue_name, self.queue_id, self.nexthop, self.transport, self.flags, self.arrival,
                 self.active_since, self.size_bytes, self.sender, self.dsn_envid, self.dsn_ret, self.encoding,
                 self.smtputf8, self.rewrite_context, self.client_name, self.client_address, self.client_port,
                 self.client_protocol, self.client_helo, self.log_ident, self.sasl_method, self.sasl_username,
                 self.sasl_sender, self.recipients);
  }
};

/// The destination as a whole (not one recipient) failed: qmgr lowers its concurrency and defers what else is due.
struct DestinationFailure {
  std::string status;  ///< enhanced status code "4.4.1"
  std::string reason;  ///< "connect to mx.example[192.0.2.1]:25: Connection refused"
  auto fields(this auto& self, auto&& visit) { return visit(self.status, self.reason); }
};

struct DeliverReply {
  static constexpr std::uint16_t kType = 0x0702;
  /// Every recipient was delivered or bounced and is marked done in the queue file. False: those that are not marked
  /// are deferred, with their reasons in the defer log.
  bool complete = false;
  std::optional<DestinationFailure> destination;
  /// The queue file's content is damaged: trying again is useless, an administrator has to look (corrupt queue).
  bool damaged = false;
  auto fields(this auto& self, auto&& visit) { return visit(self.complete, self.destination, self.damaged); }
};

}  // namespace stagepost::delivery
