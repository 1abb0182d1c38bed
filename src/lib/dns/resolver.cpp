#include "dns/resolver.hpp"

#include <algorithm>
#include <list>
#include <map>
#include <netdb.h>
#include <random>
#include <unordered_map>

#include <ares.h>
#include <ares_nameser.h>
#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/defer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "config/snapshot.hpp"
#include "dns/hosts_file.hpp"
#include "log/log.hpp"
#include "net/blocking.hpp"
#include "net/event.hpp"
#include "net/fd_watch.hpp"

namespace stagepost::dns {
namespace {

constexpr std::size_t kPendingLimit = 4096;
constexpr int kAliasLimit = 10;
constexpr int kUdpBytes = 1232;

Result<> ares_failure(int status, std::string_view what) {
  return failure(fmt::format("{}: {}", what, ares_strerror(status)), std::errc::io_error);
}

/// ares_library_init is counted, and needs to be undone once per call.
struct AresLibrary {
  AresLibrary() : status(ares_library_init(ARES_LIB_INIT_ALL)) {}
  ~AresLibrary() { ares_library_cleanup(); }
  AresLibrary(const AresLibrary&) = delete;
  AresLibrary& operator=(const AresLibrary&) = delete;
  int status;
};

}  // namespace

Families parse_inet_protocols(std::string_view value) {
  unsigned set = 0;
  for (const auto word : text::split(value, ", \t\r\n")) {
    if (text::iequals(word, "all")) { set |= static_cast<unsigned>(Families::both); }
    if (text::iequals(word, "ipv4")) { set |= static_cast<unsigned>(Families::ipv4); }
    if (text::iequals(word, "ipv6")) { set |= static_cast<unsigned>(Families::ipv6); }
  }
  return set == 0 ? Families::both : static_cast<Families>(set);
}

Result<std::vector<net::Endpoint>> parse_nameservers(std::string_view value) {
  std::vector<net::Endpoint> servers;
  for (const auto word : text::split(value, ", \t\r\n")) {
    net::Endpoint server{{}, 53};
    if (const auto bare = net::IpAddress::parse(word)) {
      server.address = *bare;
    } else {
      SP_TRY(const auto parsed, net::HostPort::parse(word, net::HostPort::Bare::is_host));
      const auto address = net::IpAddress::parse(parsed.host);
      if (!address) { return failure(fmt::format("name server is not an address: {}", word)); }
      server.address = *address;
      if (!parsed.port.empty()) {
        SP_TRY(const auto port, net::resolve_port(parsed.port));
        server.port = port;
      }
    }
    servers.push_back(server);
  }
  return servers;
}

Result<ResolverSettings> ResolverSettings::from(const config::Snapshot& config) {
  ResolverSettings settings;
  if (const auto value = config.find_text("dns_resolver_nameservers")) {
    auto servers = parse_nameservers(*value);
    if (!servers) { return std::unexpected(std::move(servers.error()).within("dns_resolver_nameservers")); }
    settings.nameservers = std::move(*servers);
  }
  return settings;
}

struct Resolver::Impl {
  struct Key {
    std::string name;  // lower case
    Type type;
    bool dnssec;
    auto operator<=>(const Key&) const = default;
  };
  /// One query on its way; several tasks may wait for it.
  struct Pending {
    explicit Pending(net::EventLoop& loop) : changed(loop) {}
    net::Event changed;
    bool done = false;
    Answer answer;
  };
  struct CacheEntry {
    Answer answer;
    SteadyClock::time_point until;
    std::list<Key>::iterator age;
  };
  struct Call {
    Impl* impl;
    Key key;
    std::string asked;
    std::shared_ptr<Pending> pending;
  };

  Impl(net::EventLoop& event_loop, ResolverSettings resolver_settings)
      : loop(event_loop), settings(std::move(resolver_settings)), timer(event_loop, [this] { process_timeouts(); }) {}

  ~Impl() {
    SP_ASSERT(waiting == 0);
    if (channel != nullptr) { ares_destroy(channel); }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<> start();
  static void on_socket_state(void* self, ares_socket_t fd, int readable, int writable);
  static void on_reply(void* call, int status, int timeouts, unsigned char* bytes, int length);
  void process(ares_socket_t readable, ares_socket_t writable);
  void process_timeouts() { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }
  void arm_timer();

  [[nodiscard]] const Answer* cached(const Key& key);
  void keep(const Key& key, const Answer& answer);
  /// Joins the query that is on its way, or starts one; `refused` says why there is none.
  std::shared_ptr<Pending> begin(const std::string& name, Type type, bool dnssec, Answer& refused);
  net::Task<Answer> ask(std::string name, Type type, bool dnssec, Deadline deadline);
  net::Task<Answer> ask_following_aliases(std::string name, Type type, bool dnssec, Deadline deadline);

  AresLibrary library;
  net::EventLoop& loop;
  ResolverSettings settings;
  ares_channel channel = nullptr;
  net::Timer timer;
  std::map<ares_socket_t, std::unique_ptr<net::FdWatch>> watches;
  std::map<Key, std::shared_ptr<Pending>> pending;
  std::map<Key, CacheEntry> cache;
  std::list<Key> ages;  // oldest first
  std::vector<std::string> search_domains;
  HostsFile hosts;
  std::random_device random;
  std::size_t waiting = 0;
};

Result<> Resolver::Impl::start() {
  if (library.status != ARES_SUCCESS) { return ares_failure(library.status, "c-ares"); }
  ares_options options{};
  int mask = ARES_OPT_FLAGS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ;
  // Without ARES_FLAG_NOCHECKRESP a server that says SERVFAIL, NOTIMP or REFUSED is passed over for the next one.
  options.flags = ARES_FLAG_EDNS;
  options.ednspsz = kUdpBytes;
  options.sock_state_cb = &on_socket_state;
  options.sock_state_cb_data = this;
  if (settings.timeout.count() > 0) {
    options.timeout = static_cast<int>(settings.timeout.count());
    mask |= ARES_OPT_TIMEOUTMS;
  }
  if (settings.tries > 0) {
    options.tries = settings.tries;
    mask |= ARES_OPT_TRIES;
  }
  if (const int status = ares_init_options(&channel, &options, mask); status != ARES_SUCCESS) {
    channel = nullptr;
    return ares_failure(status, "c-ares");
  }
  if (!settings.nameservers.empty()) {
    std::string csv;
    for (const auto& server : settings.nameservers) {
      const bool v6 = server.address.family() == net::Family::ipv6;
      csv += fmt::format("{}{}{}{}:{}", csv.empty() ? "" : ",", v6 ? "[" : "", server.address.text(), v6 ? "]" : "",
                         server.port);
    }
    if (const int status = ares_set_servers_ports_csv(channel, csv.c_str()); status != ARES_SUCCESS) {
      return ares_failure(status, "name servers " + csv);
    }
  }
  ares_options saved{};
  int saved_mask = 0;
  if (ares_save_options(channel, &saved, &saved_mask) == ARES_SUCCESS) {
    for (int i = 0; i < saved.ndomains; ++i) { search_domains.emplace_back(saved.domains[i]); }
    ares_destroy_options(&saved);
  }
  if (!settings.hosts_file.empty()) {
    // A missing hosts file is no error, also for the system's resolver.
    if (const auto content = sys::read_file(settings.hosts_file, 4 << 20)) { hosts = HostsFile::parse(*content); }
  }
  return {};
}

void Resolver::Impl::on_socket_state(void* self, ares_socket_t fd, int readable, int writable) {
  auto& impl = *static_cast<Impl*>(self);
  if (readable == 0 && writable == 0) {
    impl.watches.erase(fd);  // c-ares closes it next
    return;
  }
  auto& watch = impl.watches[fd];
  if (!watch) {
    watch = std::make_unique<net::FdWatch>(impl.loop, fd, [&impl, fd](bool can_read, bool can_write) {
      impl.process(can_read ? fd : ARES_SOCKET_BAD, can_write ? fd : ARES_SOCKET_BAD);
    });
  }
  watch->want(readable != 0, writable != 0);
}

void Resolver::Impl::process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel, readable, writable);
  arm_timer();
}

void Resolver::Impl::arm_timer() {
  timeval left{};
  if (ares_timeout(channel, nullptr, &left) == nullptr) {
    timer.clear();
    return;
  }
  timer.set(within(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec) +
                   std::chrono::milliseconds(1)));
}

void Resolver::Impl::on_reply(void* argument, int status, int, unsigned char* bytes, int length) {
  const std::unique_ptr<Call> call(static_cast<Call*>(argument));
  Answer answer = make_failure(Status::temporary, call->asked);
  if (status == ARES_SUCCESS && bytes != nullptr && length > 0) {
    const auto message =
        parse_message({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length)}, Limits{});
    if (!message) {
      log::warning("DNS reply for {} {}: {}", call->asked, type_name(call->key.type), message.error().context);
    } else if (!message->is_reply || !text::iequals(message->question_name, call->asked) ||
               message->question_type != static_cast<std::uint16_t>(call->key.type)) {
      log::warning("DNS reply for {} {} answers another question", call->asked, type_name(call->key.type));
    } else {
      answer = interpret(*message, call->asked, call->key.type);
      if (answer.status == Status::invalid) {
        log::warning("malformed domain name in resource data of {} record for {}", type_name(call->key.type),
                     call->asked);
      }
      call->impl->keep(call->key, answer);
    }
  }
  call->impl->pending.erase(call->key);
  call->pending->answer = std::move(answer);
  call->pending->done = true;
  call->pending->changed.notify_all();
}

const Answer* Resolver::Impl::cached(const Key& key) {
  const auto found = cache.find(key);
  if (found == cache.end()) { return nullptr; }
  if (SteadyClock::now() < found->second.until) { return &found->second.answer; }
  ages.erase(found->second.age);
  cache.erase(found);
  return nullptr;
}

void Resolver::Impl::keep(const Key& key, const Answer& answer) {
  const auto most = answer.status == Status::found ? settings.cache_time : settings.negative_cache_time;
  const auto time = std::min<std::chrono::seconds>(most, std::chrono::seconds(answer.ttl));
  if (time.count() <= 0 || answer.status == Status::temporary || settings.cache_entries == 0) { return; }
  if (const auto old = cache.find(key); old != cache.end()) {
    ages.erase(old->second.age);
    cache.erase(old);
  }
  while (cache.size() >= settings.cache_entries) {
    cache.erase(ages.front());
    ages.pop_front();
  }
  ages.push_back(key);
  cache.emplace(key, CacheEntry{answer, SteadyClock::now() + time, std::prev(ages.end())});
}

std::shared_ptr<Resolver::Impl::Pending> Resolver::Impl::begin(const std::string& name, Type type, bool dnssec,
                                                               Answer& refused) {
  const Key key{text::to_lower(name), type, dnssec};
  if (const auto running = pending.find(key); running != pending.end()) { return running->second; }
  if (pending.size() >= kPendingLimit) {
    log::warning("too many DNS queries are waiting");
    refused = make_failure(Status::temporary, name);
    return nullptr;
  }
  const auto id = static_cast<std::uint16_t>(random());
  const auto bytes =
      encode_query({.id = id, .name = name, .type = type, .dnssec = dnssec, .udp_size_bytes = kUdpBytes});
  if (!bytes) {
    refused = make_failure(Status::invalid, name);
    refused.reason = "Invalid name";
    return nullptr;
  }
  auto query = std::make_shared<Pending>(loop);
  pending.emplace(key, query);
  auto call = std::make_unique<Call>(Call{this, key, name, query});
  // on_reply may run before ares_send returns.
  ares_send(channel, reinterpret_cast<const unsigned char*>(bytes->data()), static_cast<int>(bytes->size()), &on_reply,
            call.release());
  arm_timer();
  return query;
}

net::Task<Answer> Resolver::Impl::ask(std::string name, Type type, bool dnssec, Deadline deadline) {
  if (name.ends_with('.')) { name.pop_back(); }
  if (const Answer* hit = cached(Key{text::to_lower(name), type, dnssec})) { co_return *hit; }
  Answer refused;
  const auto query = begin(name, type, dnssec, refused);
  if (!query) { co_return refused; }
  ++waiting;
  const Defer done([this] { --waiting; });
  while (!query->done) {
    const auto woken = co_await query->changed.wait(deadline);
    if (!woken) { co_return make_failure(Status::temporary, name); }
  }
  co_return query->answer;
}

net::Task<Answer> Resolver::Impl::ask_following_aliases(std::string name, Type type, bool dnssec, Deadline deadline) {
  bool authentic = true;
  std::string current = name;
  for (int hops = 0; hops < kAliasLimit; ++hops) {
    Answer answer = co_await ask(current, type, dnssec, deadline);
    authentic = authentic && answer.authentic;
    answer.authentic = authentic;
    if (!answer.dangling_alias) { co_return answer; }
    current = answer.canonical_name;
  }
  log::warning("CNAME record chain too long for {}", name);
  co_return make_failure(Status::invalid, name);
}

Resolver::Resolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Resolver::~Resolver() = default;
const ResolverSettings& Resolver::settings() const { return impl_->settings; }

Result<std::unique_ptr<Resolver>> Resolver::create(net::EventLoop& loop, ResolverSettings settings) {
  auto impl = std::make_unique<Impl>(loop, std::move(settings));
  SP_TRY(impl->start());
  return std::unique_ptr<Resolver>(new Resolver(std::move(impl)));
}

net::Task<Answer> Resolver::lookup(std::string name, Type type, LookupOptions options, Deadline deadline) {
  // resolver(3): names with a dot are tried as they are first; a trailing dot forbids any search.
  const bool has_dot = name.find('.') != std::string::npos;
  const bool absolute = name.ends_with('.');
  std::vector<std::string> candidates;
  if (has_dot || absolute || !options.defnames) { candidates.push_back(name); }
  if (!absolute && (has_dot ? options.dnsrch : options.defnames)) {
    const std::size_t count =
        options.dnsrch ? impl_->search_domains.size() : std::min<std::size_t>(1, impl_->search_domains.size());
    for (std::size_t i = 0; i < count; ++i) { candidates.push_back(name + "." + impl_->search_domains[i]); }
  }
  if (!has_dot && options.defnames) { candidates.push_back(name); }

  Answer answer;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    answer = co_await impl_->ask_following_aliases(candidates[i], type, options.dnssec, deadline);
    if (answer.status != Status::not_found && answer.status != Status::no_data) { break; }
  }
  co_return answer;
}

net::Task<Answer> Resolver::lookup(std::string name, Type type, Deadline deadline) {
  Answer answer = co_await lookup(std::move(name), type, LookupOptions{}, deadline);
  co_return answer;
}

namespace {

void add(HostAddresses& result, const Answer& answer, std::string_view type) {
  if (answer.status == Status::found) {
    for (const Record& record : answer.records) { result.addresses.push_back(record.address); }
    result.canonical_name = answer.canonical_name;
    result.authentic = (result.status != Status::found || result.authentic) && answer.authentic;
    result.status = Status::found;
    result.type = type;
    result.reason.clear();
    return;
  }
  if (result.status == Status::found) { return; }
  // The worst news counts: a temporary failure of either query leaves hope for the name.
  const bool first = result.type.empty();
  if (first || answer.status == Status::temporary ||
      (result.status != Status::temporary && answer.status != Status::not_found)) {
    result.status = answer.status;
    result.type = type;
    result.reason = answer.reason;
    result.canonical_name = answer.canonical_name;
  }
}

HostAddresses literal(const net::IpAddress& address, Families families) {
  HostAddresses result;
  result.canonical_name = address.text();
  const bool v6 = address.family() == net::Family::ipv6;
  result.type = v6 ? "AAAA" : "A";
  if (has(families, v6 ? Families::ipv6 : Families::ipv4)) {
    result.status = Status::found;
    result.addresses = {address};
  } else {
    result.status = Status::no_data;
    result.reason = make_failure(Status::no_data, "").reason;
  }
  return result;
}

HostAddresses system_addresses(const std::string& name, Families families) {
  HostAddresses result;
  result.type = families == Families::ipv6 ? "AAAA" : "A";
  result.canonical_name = name;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = families == Families::both ? AF_UNSPEC : families == Families::ipv6 ? AF_INET6 : AF_INET;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (error != 0) {
    const bool permanent = error == EAI_NONAME || error == EAI_NODATA;
    result.status = error == EAI_NODATA ? Status::no_data : permanent ? Status::not_found : Status::temporary;
    result.reason = ::gai_strerror(error);
    return result;
  }
  const Defer release([&] { ::freeaddrinfo(list); });
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    const auto endpoint = net::Endpoint::from_sockaddr(entry->ai_addr);
    if (endpoint && std::ranges::find(result.addresses, endpoint->address) == result.addresses.end()) {
      result.addresses.push_back(endpoint->address);
    }
  }
  result.status = result.addresses.empty() ? Status::no_data : Status::found;
  return result;
}

}  // namespace

net::Task<HostAddresses> Resolver::addresses(std::string name, Families families, LookupOptions options,
                                             Deadline deadline) {
  if (const auto address = net::IpAddress::parse(name)) { co_return literal(*address, families); }
  HostAddresses result;
  // Both queries travel at the same time; the one for A is picked up when AAAA is answered.
  std::shared_ptr<Impl::Pending> early;
  if (families == Families::both && !name.ends_with('.')) {
    const bool known = impl_->cached(Impl::Key{text::to_lower(name), Type::a, options.dnssec}) != nullptr;
    Answer ignored;
    if (!known) { early = impl_->begin(name, Type::a, options.dnssec, ignored); }
  }
  if (has(families, Families::ipv6)) {
    const Answer answer = co_await lookup(name, Type::aaaa, options, deadline);
    add(result, answer, "AAAA");
  }
  if (early && early->done && early->answer.status == Status::found) {
    add(result, early->answer, "A");
  } else if (has(families, Families::ipv4)) {
    const Answer answer = co_await lookup(name, Type::a, options, deadline);
    add(result, answer, "A");
  }
  co_return result;
}

net::Task<HostAddresses> Resolver::native_addresses(std::string name, Families families, Deadline deadline) {
  if (const auto address = net::IpAddress::parse(name)) { co_return literal(*address, families); }
  if (deadline.passed() || name.find('\0') != std::string::npos) {
    HostAddresses refused;
    refused.reason = "Host not found, try again";
    refused.type = "A";
    co_return refused;
  }
  HostAddresses result =
      co_await net::run_blocking(impl_->loop, [name, families] { return system_addresses(name, families); });
  co_return result;
}

net::Task<ClientName> Resolver::client_name(net::IpAddress address, Deadline deadline) {
  ClientName client;
  std::string name = impl_->hosts.name_of(address);
  if (name.empty()) {
    const Answer answer = co_await lookup(reverse_name(address), Type::ptr, deadline);
    if (answer.status != Status::found) {
      client.name_status = client.reverse_status =
          answer.status == Status::temporary ? Status::temporary : Status::not_found;
      co_return client;
    }
    name = answer.records.front().value;
  }
  client.reverse_name = name;
  client.reverse_status = Status::found;

  auto known = impl_->hosts.addresses_of(name);
  std::string_view complaint;
  if (known.empty()) {
    const bool v6 = address.family() == net::Family::ipv6;
    const Answer answer = co_await lookup(name, v6 ? Type::aaaa : Type::a, deadline);
    for (const Record& record : answer.records) { known.push_back(record.address); }
    if (answer.status == Status::temporary) {
      client.name_status = Status::temporary;
      complaint = ": Temporary failure in name resolution";
    } else if (answer.status == Status::no_data) {
      complaint = ": No address associated with hostname";
    } else if (answer.status != Status::found) {
      complaint = ": Name or service not known";
    }
  }
  if (std::ranges::find(known, address) != known.end()) {
    client.name = name;
    client.name_status = Status::found;
  } else {
    client.warning = fmt::format("hostname {} does not resolve to address {}{}", name, address.text(), complaint);
  }
  co_return client;
}

}  // namespace stagepost::dns
