// DNS for the daemons: c-ares carries the queries (UDP, TCP on truncation, retries, server order), replies are parsed
// by dns/message.hpp, answers are kept in a small cache for their TTL. One resolver per process.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "dns/answer.hpp"
#include "net/endpoint.hpp"
#include "net/event_loop.hpp"
#include "net/task.hpp"

namespace stagepost::config {
class Snapshot;
}

namespace stagepost::dns {

enum class Families : std::uint8_t { ipv4 = 1, ipv6 = 2, both = 3 };
[[nodiscard]] constexpr bool has(Families set, Families one) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}
/// Parameter inet_protocols: "all", "ipv4", "ipv6" or a list.
[[nodiscard]] Families parse_inet_protocols(std::string_view value);

struct HostAddresses {
  Status status = Status::temporary;
  std::vector<net::IpAddress> addresses;  ///< IPv6 answers first, each in the order of its reply
  bool authentic = false;                 ///< of all replies used
  std::string canonical_name;
  std::string type;  ///< "A", "AAAA": the query that `reason` is about
  std::string reason;
};

/// What smtpd wants to know about a client's name. `unknown` stands where Postfix says so.
struct ClientName {
  std::string name = "unknown";          ///< verified: address -> name -> address
  std::string reverse_name = "unknown";  ///< address -> name only
  /// found, not_found (permanent: reject_unknown_client_hostname answers 5xx-able) or temporary (always 450).
  Status name_status = Status::not_found;
  Status reverse_status = Status::not_found;
  /// A line for the log ("hostname x does not resolve to address y"), or empty.
  std::string warning;
};

struct ResolverSettings {
  /// Parameter dns_resolver_nameservers; empty: the system's /etc/resolv.conf, read once when the resolver is made.
  std::vector<net::Endpoint> nameservers;
  /// Time for one server's answer and rounds over all servers; zero/0: resolv.conf's or c-ares' own (5 s, 4 rounds).
  std::chrono::milliseconds timeout{5000};
  int tries = 2;
  std::size_t cache_entries = 2000;
  /// Longest time an answer is kept, whatever its TTL. Zero for both turns the cache off.
  std::chrono::seconds cache_time{300};
  std::chrono::seconds negative_cache_time{10};
  /// Looked up before DNS by client_name(); "" for none. Read when the resolver is made.
  std::string hosts_file = "/etc/hosts";

  /// From dns_resolver_nameservers.
  [[nodiscard]] static Result<ResolverSettings> from(const config::Snapshot& config);
};
/// List of "host:port", "[v6]:port" or bare addresses; default port 53. Error: anything that is not an address.
[[nodiscard]] Result<std::vector<net::Endpoint>> parse_nameservers(std::string_view value);

struct LookupOptions {
  bool dnssec = false;
  /// Try the search list of resolv.conf: res_defnames for names without a dot, res_dnsrch for all.
  bool defnames = false;
  bool dnsrch = false;
};

class Resolver {
 public:
  /// Make it before chroot: it reads resolv.conf and the hosts file. Error: c-ares can't start, bad settings.
  [[nodiscard]] static Result<std::unique_ptr<Resolver>> create(net::EventLoop& loop, ResolverSettings settings);
  /// No look-up may be waiting.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Never fails as such: whatever goes wrong is Status::temporary. At the deadline too.
  [[nodiscard]] net::Task<Answer> lookup(std::string name, Type type, LookupOptions options, Deadline deadline);
  [[nodiscard]] net::Task<Answer> lookup(std::string name, Type type, Deadline deadline);

  /// AAAA and A as `families` says. A literal address gives itself without a query. Found if
  /// either has addresses; temporary if none has and either failed so.
  [[nodiscard]] net::Task<HostAddresses> addresses(std::string name, Families families, LookupOptions options,
                                                   Deadline deadline);
  /// As the system does it (getaddrinfo on the thread pool): smtp_host_lookup = native.
  [[nodiscard]] net::Task<HostAddresses> native_addresses(std::string name, Families families, Deadline deadline);

  /// Parameter smtpd_peername_lookup = yes: reverse look-up (hosts file, then PTR) and its forward confirmation.
  [[nodiscard]] net::Task<ClientName> client_name(net::IpAddress address, Deadline deadline);

  [[nodiscard]] const ResolverSettings& settings() const;

 private:
  struct Impl;
  explicit Resolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stagepost::dns
