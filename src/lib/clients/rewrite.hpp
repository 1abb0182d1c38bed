// Client of trivial-rewrite (rewrite_service_name): rewriting an address to standard form, and resolving it to
// (transport, nexthop, recipient). Message types 0x02xx.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "config/snapshot.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::clients {

/// Rules of remote_header_rewrite_domain and local_header_rewrite_clients: `local` appends myorigin/mydomain, `remote`
/// appends remote_header_rewrite_domain or leaves the address alone.
enum class RewriteContext : std::uint8_t { local, remote, kLast = remote };

struct RewriteRequest {
  static constexpr std::uint16_t kType = 0x0201;
  RewriteContext context = RewriteContext::local;
  std::string address;  ///< external (quoted) form, as in a header
  auto fields(this auto& self, auto&& visit) { return visit(self.context, self.address); }
};

struct RewriteReply {
  static constexpr std::uint16_t kType = 0x0202;
  std::string address;  ///< external form
  auto fields(this auto& self, auto&& visit) { return visit(self.address); }
};

/// ADDRESS_CLASS_README: which of the four classes (or none: mail to be relayed elsewhere) the recipient's domain has.
enum class AddressClass : std::uint8_t { local, virtual_alias, virtual_mailbox, relay, other, kLast = other };

struct ResolveRequest {
  static constexpr std::uint16_t kType = 0x0203;
  std::string sender;     ///< internal form; for sender_dependent_* parameters
  std::string recipient;  ///< internal form
  bool verify = false;    ///< use the address_verify_* variants (probes)
  auto fields(this auto& self, auto&& visit) { return visit(self.sender, self.recipient, self.verify); }
};

struct ResolveReply {
  static constexpr std::uint16_t kType = 0x0204;
  enum class Outcome : std::uint8_t {
    ok,
    bad_address,  ///< can never be delivered: bounce with 5.1.3
    retry,        ///< a table or the configuration failed: defer
    kLast = retry
  };
  Outcome outcome = Outcome::ok;
  std::string transport;  ///< "smtp"
  std::string nexthop;    ///< "[mail.example]:25"
  std::string recipient;  ///< internal form, rewritten
  AddressClass address_class = AddressClass::other;
  bool routed = false;  ///< sender-specified routing (user%host@here): may need permit_mx_backup/relay care
  auto fields(this auto& self, auto&& visit) {
    return visit(self.outcome, self.transport, self.nexthop, self.recipient, self.address_class, self.routed);
  }
};

/// Several recipients of one message at once: the answers have the order of the questions.
struct ResolveManyRequest {
  static constexpr std::uint16_t kType = 0x0205;
  static constexpr std::size_t kMaxRecipients = 200;
  std::string sender;
  std::vector<std::string> recipients;
  auto fields(this auto& self, auto&& visit) { return visit(self.sender, self.recipients); }
};

struct ResolveManyReply {
  static constexpr std::uint16_t kType = 0x0206;
  std::vector<ResolveReply> answers;
  auto fields(this auto& self, auto&& visit) { return visit(self.answers); }
};

/// One per process. Keeps answers for a few seconds in a bounded cache, so that a run of look-ups for one address costs
/// one question. Failures are not cached.
class RewriteClient {
 public:
  RewriteClient(net::EventLoop& loop, const config::Snapshot& config);

  /// Error: the service cannot be reached within ipc_timeout (temporary).
  [[nodiscard]] net::Task<Result<std::string>> rewrite(RewriteContext context, std::string address);
  [[nodiscard]] net::Task<Result<ResolveReply>> resolve(std::string sender, std::string recipient);
  /// The same for many recipients, in as few questions as possible; one answer for each. After a failure the answers
  /// found so far are lost.
  [[nodiscard]] net::Task<Result<std::vector<ResolveReply>>> resolve_all(std::string sender,
                                                                         std::vector<std::string> recipients);
  [[nodiscard]] net::Task<Result<ResolveReply>> resolve_for_probe(std::string sender, std::string recipient);

 private:
  static constexpr std::size_t kCacheEntries = 2000;
  static constexpr std::chrono::seconds kCacheTime{10};
  using Answer = std::variant<std::string, ResolveReply>;
  struct Entry {
    std::string key;
    Answer answer;
    SteadyClock::time_point expires;
  };
  [[nodiscard]] const Answer* cached(const std::string& key);
  void remember(std::string key, Answer answer);
  void remember(std::string key, const ResolveReply& reply);
  [[nodiscard]] net::Task<Result<ResolveReply>> ask(ResolveRequest request);

  ipc::ClientPool pool_;
  std::chrono::seconds timeout_;
  std::list<Entry> entries_;  // newest first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
};

}  // namespace stagepost::clients
