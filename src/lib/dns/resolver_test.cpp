#include "dns/resolver.hpp"

#include <arpa/inet.h>
#include <functional>
#include <map>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "dns/hosts_file.hpp"
#include "net/event_loop.hpp"
#include "net/fd_watch.hpp"

namespace stagepost::dns {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string be(unsigned long value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) { out += static_cast<char>(value >> (8 * i)); }
  return out;
}
std::string wire_name(std::string_view name) {
  std::string out;
  for (const auto label : text::split(name, ".")) { out += static_cast<char>(label.size()) + std::string(label); }
  return out + '\0';
}
std::string rr(std::string_view owner, Type type, unsigned ttl, const std::string& data) {
  return wire_name(owner) + be(static_cast<unsigned>(type), 2) + be(1, 2) + be(ttl, 4) + be(data.size(), 2) + data;
}
std::string mx(std::string_view owner, unsigned preference, std::string_view host, unsigned ttl = 60) {
  return rr(owner, Type::mx, ttl, be(preference, 2) + wire_name(host));
}
std::string a(std::string_view owner, std::string_view address, unsigned ttl = 60) {
  const auto ip = net::IpAddress::parse(address);
  const auto* bytes = reinterpret_cast<const char*>(ip->bytes().data());
  const bool v4 = ip->family() == net::Family::ipv4;
  return rr(owner, v4 ? Type::a : Type::aaaa, ttl, std::string(bytes, ip->size_bytes()));
}

/// Authoritative for what it was told, on one UDP and TCP port of 127.0.0.1, in the loop of the test.
class Server {
 public:
  struct Reply {
    unsigned rcode = 0;
    std::vector<std::string> answers;
    std::vector<std::string> authority;
    bool authentic = false;
    bool silent = false;
    bool truncate_udp = false;
    bool corrupt = false;
  };

  explicit Server(net::EventLoop& loop) : loop_(&loop) {
    udp_.reset(::socket(AF_INET, SOCK_DGRAM, 0));
    tcp_.reset(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int attempt = 0; attempt < 50; ++attempt) {
      address.sin_port = 0;
      socklen_t size = sizeof address;
      if (::bind(tcp_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) { continue; }
      ::getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&address), &size);
      if (::bind(udp_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0) { break; }
      tcp_.reset(::socket(AF_INET, SOCK_STREAM, 0));
    }
    ::listen(tcp_.get(), 5);
    port_ = ntohs(address.sin_port);
    udp_watch_ = std::make_unique<net::FdWatch>(loop, udp_.get(), [this](bool, bool) { on_udp(); });
    tcp_watch_ = std::make_unique<net::FdWatch>(loop, tcp_.get(), [this](bool, bool) { on_tcp(); });
    udp_watch_->want(true, false);
    tcp_watch_->want(true, false);
  }

  void on(std::string_view name, Type type, Reply reply) { replies_[{text::to_lower(name), type}] = std::move(reply); }
  [[nodiscard]] net::Endpoint endpoint() const { return {*net::IpAddress::parse("127.0.0.1"), port_}; }
  [[nodiscard]] int queries() const { return queries_; }
  [[nodiscard]] const std::string& last_query() const { return last_query_; }

 private:
  std::optional<std::string> answer(const std::string& query, bool is_udp) {
    ++queries_;
    last_query_ = query;
    const auto parsed = parse_message(query);
    if (!parsed) { return std::nullopt; }
    const auto found = replies_.find({text::to_lower(parsed->question_name), static_cast<Type>(parsed->question_type)});
    Reply reply{.rcode = 3};
    if (found != replies_.end()) { reply = found->second; }
    if (reply.silent) { return std::nullopt; }
    const bool cut = is_udp && reply.truncate_udp;
    std::string out = query.substr(0, 2);
    out += be(0x8180 | (cut ? 0x200U : 0U) | (reply.authentic ? 0x20U : 0U) | reply.rcode, 2);
    out += be(1, 2) + be(cut ? 0 : reply.answers.size(), 2) + be(reply.authority.size(), 2) + be(0, 2);
    out += query.substr(12, query.find('\0', 12) + 5 - 12);
    if (!cut) {
      for (const auto& record : reply.answers) { out += record; }
    }
    for (const auto& record : reply.authority) { out += record; }
    if (reply.corrupt) { out.resize(out.size() - 3); }
    return out;
  }
  void on_udp() {
    char buffer[2048];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const auto n =
        ::recvfrom(udp_.get(), buffer, sizeof buffer, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
    if (n <= 0) { return; }
    const auto reply = answer(std::string(buffer, static_cast<std::size_t>(n)), true);
    if (reply) { ::sendto(udp_.get(), reply->data(), reply->size(), 0, reinterpret_cast<sockaddr*>(&from), size); }
  }
  void on_tcp() {
    client_watch_.reset();
    client_.reset(::accept(tcp_.get(), nullptr, nullptr));
    client_watch_ = std::make_unique<net::FdWatch>(*loop_, client_.get(), [this](bool, bool) { on_tcp_query(); });
    client_watch_->want(true, false);
  }
  void on_tcp_query() {
    client_watch_->want(false, false);
    unsigned char length[2];
    if (::recv(client_.get(), length, 2, MSG_WAITALL) != 2) { return; }
    std::string query(static_cast<std::size_t>(length[0] << 8 | length[1]), '\0');
    if (::recv(client_.get(), query.data(), query.size(), MSG_WAITALL) <= 0) { return; }
    if (const auto reply = answer(query, false)) {
      const std::string framed = be(reply->size(), 2) + *reply;
      ::send(client_.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
    }
  }

  net::EventLoop* loop_;
  unique_fd client_;
  unique_fd udp_;
  unique_fd tcp_;
  std::uint16_t port_ = 0;
  std::map<std::pair<std::string, Type>, Reply> replies_;
  int queries_ = 0;
  std::string last_query_;
  std::unique_ptr<net::FdWatch> udp_watch_;
  std::unique_ptr<net::FdWatch> tcp_watch_;
  std::unique_ptr<net::FdWatch> client_watch_;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() : server_(loop_) {
    settings_.nameservers = {server_.endpoint()};
    settings_.timeout = milliseconds(100);
    settings_.tries = 2;
    settings_.hosts_file = "";
    renew();
  }
  void renew() {
    resolver_.reset();
    auto made = Resolver::create(loop_, settings_);
    ASSERT_TRUE(made) << made.error().message();
    resolver_ = std::move(*made);
  }
  static net::Task<> look(Resolver& resolver, std::string name, Type type, LookupOptions options, Answer& out) {
    out = co_await resolver.lookup(std::move(name), type, options, within(seconds(5)));
  }
  Answer lookup(std::string name, Type type, LookupOptions options = {}) {
    Answer answer;
    loop_.run_task(look(*resolver_, std::move(name), type, options, answer));
    return answer;
  }
  static net::Task<> look_hosts(Resolver& resolver, std::string name, Families families, HostAddresses& out) {
    out = co_await resolver.addresses(std::move(name), families, {}, within(seconds(5)));
  }
  HostAddresses addresses(std::string name, Families families = Families::both) {
    HostAddresses result;
    loop_.run_task(look_hosts(*resolver_, std::move(name), families, result));
    return result;
  }
  static net::Task<> look_client(Resolver& resolver, net::IpAddress address, ClientName& out) {
    out = co_await resolver.client_name(address, within(seconds(5)));
  }
  ClientName client_name(std::string_view address) {
    ClientName result;
    loop_.run_task(look_client(*resolver_, *net::IpAddress::parse(address), result));
    return result;
  }

  net::EventLoop loop_;
  Server server_;
  ResolverSettings settings_;
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, FindsMxRecordsInTheOrderOfTheReply) {
  server_.on(
      "example.com", Type::mx,
      {.answers = {mx("example.com", 20, "b.example.com"), mx("example.com", 10, "a.example.com")}, .authentic = true});
  const Answer answer = lookup("Example.COM", Type::mx);
  EXPECT_EQ(answer.status, Status::found);
  EXPECT_TRUE(answer.authentic);
  ASSERT_EQ(answer.records.size(), 2U);
  EXPECT_EQ(answer.records[0].value, "b.example.com");
  EXPECT_EQ(answer.records[1].preference, 10);
}

TEST_F(ResolverTest, TellsTheKindsOfFailureApart) {
  server_.on("nodata.example", Type::mx, {});
  server_.on("fail.example", Type::mx, {.rcode = 2});
  server_.on("refused.example", Type::mx, {.rcode = 5});
  server_.on("silent.example", Type::mx, {.silent = true});
  server_.on("corrupt.example", Type::mx, {.answers = {mx("corrupt.example", 1, "a.example")}, .corrupt = true});
  server_.on("badname.example", Type::mx, {.answers = {mx("badname.example", 1, "a b.example")}});
  EXPECT_EQ(lookup("missing.example", Type::mx).status, Status::not_found);
  EXPECT_EQ(lookup("missing.example", Type::mx).reason, "Host not found");
  EXPECT_EQ(lookup("nodata.example", Type::mx).status, Status::no_data);
  EXPECT_EQ(lookup("fail.example", Type::mx).status, Status::temporary);
  EXPECT_EQ(lookup("fail.example", Type::mx).reason, "Host not found, try again");
  EXPECT_EQ(lookup("refused.example", Type::mx).status, Status::temporary);
  EXPECT_EQ(lookup("silent.example", Type::mx).status, Status::temporary);
  EXPECT_EQ(lookup("corrupt.example", Type::mx).status, Status::temporary);
  EXPECT_EQ(lookup("badname.example", Type::mx).status, Status::invalid);
  EXPECT_EQ(lookup("two..dots", Type::mx).status, Status::invalid);
}

TEST_F(ResolverTest, NullMxIsFoundWithAnEmptyName) {
  server_.on("null.example", Type::mx, {.answers = {mx("null.example", 0, "")}});
  const Answer answer = lookup("null.example", Type::mx);
  ASSERT_EQ(answer.status, Status::found);
  EXPECT_EQ(answer.records[0].value, "");
}

TEST_F(ResolverTest, FollowsAliasesInsideAndOutsideTheReply) {
  server_.on(
      "www.example", Type::a,
      {.answers = {rr("www.example", Type::cname, 60, wire_name("host.example")), a("host.example", "192.0.2.1")}});
  server_.on("far.example", Type::a, {.answers = {rr("far.example", Type::cname, 60, wire_name("www.example"))}});
  server_.on("loop.example", Type::a, {.answers = {rr("loop.example", Type::cname, 60, wire_name("pool.example"))}});
  server_.on("pool.example", Type::a, {.answers = {rr("pool.example", Type::cname, 60, wire_name("loop.example"))}});
  EXPECT_EQ(lookup("www.example", Type::a).canonical_name, "host.example");
  const Answer far = lookup("far.example", Type::a);
  EXPECT_EQ(far.canonical_name, "host.example");
  EXPECT_EQ(far.records.at(0).address.text(), "192.0.2.1");
  EXPECT_NE(lookup("loop.example", Type::a).status, Status::found);
}

TEST_F(ResolverTest, IgnoresRecordsOfOtherOwners) {
  server_.on("example.com", Type::a, {.answers = {a("evil.example", "192.0.2.66")}});
  EXPECT_EQ(lookup("example.com", Type::a).status, Status::no_data);
}

TEST_F(ResolverTest, TruncatedRepliesAreFetchedByTcp) {
  Server::Reply reply{.truncate_udp = true};
  for (int i = 0; i < 90; ++i) {
    reply.answers.push_back(rr("big.example", Type::txt, 60, "\x30" + std::string(0x30, 'x')));
  }
  server_.on("big.example", Type::txt, reply);
  EXPECT_EQ(lookup("big.example", Type::txt).records.size(), 90U);
}

TEST_F(ResolverTest, CachesForTheTtlAndNotAtAllWithoutOne) {
  server_.on("cached.example", Type::a, {.answers = {a("cached.example", "192.0.2.1", 60)}});
  server_.on("fresh.example", Type::a, {.answers = {a("fresh.example", "192.0.2.1", 0)}});
  lookup("cached.example", Type::a);
  lookup("CACHED.example", Type::a);
  EXPECT_EQ(server_.queries(), 1);
  lookup("fresh.example", Type::a);
  lookup("fresh.example", Type::a);
  EXPECT_EQ(server_.queries(), 3);
}

TEST_F(ResolverTest, CacheKeepsNoMoreThanItsLimit) {
  settings_.cache_entries = 2;
  renew();
  for (const char* name : {"a.example", "b.example", "c.example"}) {
    server_.on(name, Type::a, {.answers = {a(name, "192.0.2.1", 60)}});
    lookup(name, Type::a);
  }
  lookup("c.example", Type::a);
  lookup("b.example", Type::a);
  EXPECT_EQ(server_.queries(), 3);
  lookup("a.example", Type::a);
  EXPECT_EQ(server_.queries(), 4);
}

TEST_F(ResolverTest, NegativeAnswersAreCachedAsTheSoaSays) {
  const std::string soa =
      rr("example", Type::soa, 60, wire_name("ns") + wire_name("root") + std::string(16, '\0') + be(60, 4));
  server_.on("no.example", Type::a, {.rcode = 3, .authority = {soa}});
  lookup("no.example", Type::a);
  EXPECT_EQ(lookup("no.example", Type::a).status, Status::not_found);
  EXPECT_EQ(server_.queries(), 1);
}

TEST_F(ResolverTest, DnssecAsksWithTheDoBit) {
  server_.on(
      "_25._tcp.mx.example", Type::tlsa,
      {.answers = {rr("_25._tcp.mx.example", Type::tlsa, 60, "\3\1\1"s + std::string(32, 'h'))}, .authentic = true});
  const Answer answer = lookup("_25._tcp.mx.example", Type::tlsa, {.dnssec = true});
  EXPECT_EQ(answer.status, Status::found);
  EXPECT_TRUE(answer.authentic);
  EXPECT_EQ(server_.last_query().substr(server_.last_query().size() - 4, 1), "\x80");
}

TEST_F(ResolverTest, AddressesOfBothFamiliesAndLiterals) {
  server_.on("mx.example", Type::a, {.answers = {a("mx.example", "192.0.2.1"), a("mx.example", "192.0.2.2")}});
  server_.on("mx.example", Type::aaaa, {.answers = {a("mx.example", "2001:db8::1")}});
  server_.on("half.example", Type::a, {.answers = {a("half.example", "192.0.2.1")}});
  server_.on("half.example", Type::aaaa, {.rcode = 2});
  server_.on("sick.example", Type::a, {});
  server_.on("sick.example", Type::aaaa, {.rcode = 2});
  EXPECT_EQ(addresses("mx.example").addresses.size(), 3U);
  EXPECT_EQ(addresses("mx.example", Families::ipv4).addresses.size(), 2U);
  EXPECT_EQ(addresses("half.example").status, Status::found);
  EXPECT_EQ(addresses("sick.example").status, Status::temporary);
  EXPECT_EQ(addresses("none.example").status, Status::not_found);
  const int before = server_.queries();
  EXPECT_EQ(addresses("192.0.2.9").addresses.at(0).text(), "192.0.2.9");
  EXPECT_EQ(addresses("192.0.2.9", Families::ipv6).status, Status::no_data);
  EXPECT_EQ(server_.queries(), before);
}

TEST_F(ResolverTest, ClientNamesAreConfirmedForward) {
  const auto ptr = [&](std::string_view address, std::string_view name) {
    const std::string reverse = reverse_name(*net::IpAddress::parse(address));
    server_.on(reverse, Type::ptr, {.answers = {rr(reverse, Type::ptr, 60, wire_name(name))}});
  };
  ptr("192.0.2.1", "good.example");
  ptr("192.0.2.2", "liar.example");
  ptr("192.0.2.3", "gone.example");
  ptr("192.0.2.4", "slow.example");
  ptr("192.0.2.5", "1.2.3.4");
  server_.on("good.example", Type::a, {.answers = {a("good.example", "192.0.2.7"), a("good.example", "192.0.2.1")}});
  server_.on("liar.example", Type::a, {.answers = {a("liar.example", "192.0.2.99")}});
  server_.on("slow.example", Type::a, {.rcode = 2});
  server_.on(reverse_name(*net::IpAddress::parse("192.0.2.6")), Type::ptr, {.rcode = 2});

  const ClientName good = client_name("192.0.2.1");
  EXPECT_EQ(good.name, "good.example");
  EXPECT_EQ(good.name_status, Status::found);
  EXPECT_EQ(good.warning, "");
  const ClientName liar = client_name("192.0.2.2");
  EXPECT_EQ(liar.name, "unknown");
  EXPECT_EQ(liar.reverse_name, "liar.example");
  EXPECT_EQ(liar.name_status, Status::not_found);
  EXPECT_EQ(liar.warning, "hostname liar.example does not resolve to address 192.0.2.2");
  const ClientName gone = client_name("192.0.2.3");
  EXPECT_EQ(gone.name_status, Status::not_found);
  EXPECT_EQ(gone.warning, "hostname gone.example does not resolve to address 192.0.2.3: Name or service not known");
  EXPECT_EQ(client_name("192.0.2.4").name_status, Status::temporary);
  EXPECT_EQ(client_name("192.0.2.5").reverse_name, "unknown") << "a number is no name";
  const ClientName sick = client_name("192.0.2.6");
  EXPECT_EQ(sick.reverse_status, Status::temporary);
  EXPECT_EQ(sick.name_status, Status::temporary);
  EXPECT_EQ(client_name("192.0.2.77").reverse_status, Status::not_found);
}

TEST_F(ResolverTest, ANameServerThatIsDownIsPassedOver) {
  const unique_fd silent(::socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size);
  settings_.nameservers = {{*net::IpAddress::parse("127.0.0.1"), ntohs(address.sin_port)}, server_.endpoint()};
  renew();
  server_.on("example.com", Type::a, {.answers = {a("example.com", "192.0.2.1")}});
  EXPECT_EQ(lookup("example.com", Type::a).status, Status::found);
}

TEST(Nameservers, ParsesAddressesWithAndWithoutPort) {
  const auto servers = parse_nameservers("127.0.0.1:5353, [::1]:53\n192.0.2.1 2001:db8::1");
  ASSERT_TRUE(servers) << servers.error().message();
  ASSERT_EQ(servers->size(), 4U);
  EXPECT_EQ(servers->at(0).port, 5353);
  EXPECT_EQ(servers->at(1).address.text(), "::1");
  EXPECT_EQ(servers->at(2).port, 53);
  EXPECT_EQ(servers->at(3).address.text(), "2001:db8::1");
  EXPECT_FALSE(parse_nameservers("dns.example.com:53"));
}

TEST(InetProtocols, ParsesLists) {
  EXPECT_EQ(parse_inet_protocols("all"), Families::both);
  EXPECT_EQ(parse_inet_protocols("ipv4"), Families::ipv4);
  EXPECT_EQ(parse_inet_protocols("ipv6, ipv4"), Families::both);
  EXPECT_EQ(parse_inet_protocols("IPv6"), Families::ipv6);
}

TEST(HostsFileTest, FirstNameOfAnAddressAndAllAddressesOfAName) {
  const auto hosts = HostsFile::parse(
      "# comment\n127.0.0.1 localhost loop # x\n::1\tlocalhost\n127.0.0.1 other\nbad line\n192.0.2.1\n10.0.0.1 HOST");
  EXPECT_EQ(hosts.name_of(*net::IpAddress::parse("127.0.0.1")), "localhost");
  EXPECT_EQ(hosts.addresses_of("LOCALHOST").size(), 2U);
  EXPECT_EQ(hosts.addresses_of("other").size(), 1U);
  EXPECT_EQ(hosts.addresses_of("host").size(), 1U);
  EXPECT_EQ(hosts.name_of(*net::IpAddress::parse("192.0.2.1")), "");
  EXPECT_TRUE(hosts.addresses_of("x").empty());
  EXPECT_EQ(HostsFile::parse("1.1.1.1 a\n1.1.1.2 b\n", 1).addresses_of("b").size(), 0U);
}

}  // namespace
}  // namespace stagepost::dns
