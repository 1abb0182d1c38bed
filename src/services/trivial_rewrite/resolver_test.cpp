// The expected answers were taken from an installed Postfix 3.7.11 with the same parameters and tables.
#include "services/trivial_rewrite/resolver.hpp"

#include <set>

#include <gtest/gtest.h>

#include "maps/lookup_order.hpp"
#include "net/event_loop.hpp"

namespace stagepost::trivial_rewrite {
namespace {

using clients::AddressClass;
using clients::ResolveReply;
using Table = std::map<std::string, std::string, std::less<>>;

class FakeLookups final : public Lookups {
 public:
  std::set<std::string> local{"mx.test.example", "localhost",   "both.example",
                              "bothvm.example",  "[127.0.0.1]", "[192.0.2.77]"};
  std::set<std::string> alias{"va.example", "both.example"};
  std::set<std::string> mailbox{"vm.example", "bothvm.example"};
  std::set<std::string> relay{"relay.example", "sub.relay.example"};
  Table transports{{"full.example", "uucp:nx.example"},
                   {"nonext.example", "uucp:"},
                   {"nulltr.example", ":[gw.example]"},
                   {"null.example", ":"},
                   {"user@u.example", "foo:u1"},
                   {"user+ext@u.example", "bar:u2"},
                   {"p.example", "foo:parent"},
                   {".dp.example", "foo:dotparent"},
                   {"user@vm.example", "foo:vmu"},
                   {"relayu@relay.example", ":gwr"},
                   {"locuser@localhost", "foo:"},
                   {"va1@va.example", "foo:va"},
                   {"err.example", "error:5.7.1 no no"},
                   {"bare@mx.test.example", ":"},
                   {"host", "foo:h"},
                   {"port.example", "smtp:gw:26"},
                   {"mailer-daemon@mx.test.example", "foo:mdn"},
                   {"badtr.example", "foo"},
                   {"emptyval.example", ":25"},
                   {"c.example", "uucp:src"},
                   {"[192.0.2.1]", "foo:lit"}};
  Table moved{{"moved@vm.example", "new@place"}, {"@gone.example", "elsewhere"}, {"movedbare", "xx"}};
  Table sender_relayhosts;
  Table sender_transports;
  bool broken = false;
  std::vector<std::string> warnings;

  net::Task<Result<bool>> is_local(std::string domain) override { co_return answer(local.contains(domain)); }
  net::Task<Result<bool>> is_virtual_alias(std::string domain) override { co_return answer(alias.contains(domain)); }
  net::Task<Result<bool>> is_virtual_mailbox(std::string domain) override {
    co_return answer(mailbox.contains(domain));
  }
  net::Task<Result<bool>> is_relay(std::string domain) override { co_return answer(relay.contains(domain)); }
  net::Task<Answer> transport(std::string address) override {
    co_return find(transports, maps::transport_keys(address, {.delimiters = "+"}, maps::ParentStyle::dotted));
  }
  net::Task<Answer> relocated(std::string address, bool is_local) override {
    co_return find(moved,
                   maps::address_keys(address, {.delimiters = "+"}, is_local ? maps::Site::local : maps::Site::other));
  }
  net::Task<Answer> sender_relayhost(std::string key) override { co_return find_one(sender_relayhosts, key); }
  net::Task<Answer> sender_transport(std::string key) override { co_return find_one(sender_transports, key); }
  void in_both(std::string_view domain, std::string_view first, std::string_view second) override {
    warnings.push_back(fmt::format("{} {} {}", domain, first, second));
  }

 private:
  Result<bool> answer(bool value) const {
    if (broken) { return failure("table is broken"); }
    return value;
  }
  static Answer find_one(const Table& table, const std::string& key) {
    const auto found = table.find(key);
    return found == table.end() ? std::nullopt : std::optional(found->second);
  }
  static Answer find(const Table& table, const maps::LookupKeys& keys) {
    for (const maps::LookupKey& key : keys) {
      auto found = find_one(table, key.text);
      if (*found) { return found; }
    }
    return std::nullopt;
  }
};

ResolverRules default_rules() {
  ResolverRules rules;
  rules.routing.myhostname = "mx.test.example";
  rules.myhostname = "mx.test.example";
  rules.local_transport = "local:mx.test.example";
  rules.virtual_transport = "virtual";
  rules.relay_transport = "relay";
  rules.default_transport = "smtp";
  return rules;
}

net::Task<> run_resolve(const ResolverRules& rules, Lookups& lookups, std::string sender, std::string recipient,
                        ResolveReply& reply) {
  auto answer = co_await resolve(rules, lookups, std::move(sender), std::move(recipient));
  reply = std::move(answer);
}

ResolveReply ask(const ResolverRules& rules, Lookups& lookups, std::string sender, std::string recipient) {
  net::EventLoop loop;
  ResolveReply reply;
  loop.run_task(run_resolve(rules, lookups, std::move(sender), std::move(recipient), reply));
  return reply;
}

std::string show(const ResolveReply& reply) {
  if (reply.outcome == ResolveReply::Outcome::bad_address) { return "bad"; }
  if (reply.outcome == ResolveReply::Outcome::retry) { return "retry"; }
  return reply.transport + " " + reply.recipient + " " + reply.nexthop;
}

TEST(Resolver, AnswersAsPostfixDoes) {
  struct Case {
    const char* recipient;
    const char* expected;
  };
  const std::vector<Case> cases{
      {"user@mx.test.example", "local user@mx.test.example mx.test.example"},
      {"user@LOCALHOST", "local user@LOCALHOST mx.test.example"},
      {"user@[127.0.0.1]", "local user@[127.0.0.1] mx.test.example"},
      {"user@[192.0.2.77]", "local user@[192.0.2.77] mx.test.example"},
      {"user@[192.0.2.1]", "foo user@[192.0.2.1] lit"},
      {"user@[IPv6:2001:db8::1]", "smtp user@[IPv6:2001:db8::1] [IPv6:2001:db8::1]"},
      {"user@[bad]", "bad"},
      {"user@1.2.3.4", "bad"},
      {"User@OTH.Example", "smtp User@OTH.Example OTH.Example"},
      {"user%oth.example@localhost", "smtp user@oth.example oth.example"},
      {"user%a%b.example@localhost", "smtp user%a@b.example b.example"},
      {"a!b!user@localhost", "smtp b!user@a a"},
      {"a.example!user@oth.example", "smtp a.example!user@oth.example oth.example"},
      {"user@oth.example@localhost", "smtp user@oth.example oth.example"},
      {"user@localhost@oth.example", "smtp user@localhost@oth.example oth.example"},
      {"a b@oth.example", "smtp a b@oth.example oth.example"},
      {"user@va.example", "error user@va.example 5.1.1 User unknown in virtual alias table"},
      {"va1@va.example", "error va1@va.example 5.1.1 User unknown in virtual alias table"},
      {"user@vm.example", "foo user@vm.example vmu"},
      {"other@vm.example", "virtual other@vm.example vm.example"},
      {"user+ext@vm.example", "foo user+ext@vm.example vmu"},
      {"user@relay.example", "relay user@relay.example relay.example"},
      {"user@sub.relay.example", "relay user@sub.relay.example sub.relay.example"},
      {"relayu@relay.example", "relay relayu@relay.example gwr"},
      {"moved@vm.example", "error moved@vm.example 5.1.6 User has moved to new@place"},
      {"x@gone.example", "error x@gone.example 5.1.6 User has moved to elsewhere"},
      {"movedbare@mx.test.example", "error movedbare@mx.test.example 5.1.6 User has moved to xx"},
      {"movedbare@oth.example", "smtp movedbare@oth.example oth.example"},
      {"user@full.example", "uucp user@full.example nx.example"},
      {"user@nonext.example", "uucp user@nonext.example nonext.example"},
      {"user@nulltr.example", "smtp user@nulltr.example [gw.example]"},
      {"user@null.example", "smtp user@null.example null.example"},
      {"user@u.example", "foo user@u.example u1"},
      {"user+ext@u.example", "bar user+ext@u.example u2"},
      {"user+foo@u.example", "foo user+foo@u.example u1"},
      {"other@u.example", "smtp other@u.example u.example"},
      {"user@p.example", "foo user@p.example parent"},
      {"user@sub.p.example", "smtp user@sub.p.example sub.p.example"},
      {"user@dp.example", "smtp user@dp.example dp.example"},
      {"user@sub.dp.example", "foo user@sub.dp.example dotparent"},
      {"locuser@localhost", "foo locuser@localhost localhost"},
      {"bare@mx.test.example", "local bare@mx.test.example mx.test.example"},
      {"user@host", "foo user@host h"},
      {"user@port.example", "smtp user@port.example gw:26"},
      {"user@badtr.example", "foo user@badtr.example badtr.example"},
      {"user@emptyval.example", "smtp user@emptyval.example 25"},
      {"user@err.example", "error user@err.example 5.7.1 no no"},
      {"user@", "bad"},
      {"user@.oth.example", "bad"},
      {"user@oth..example", "bad"},
      {"user@-x.example", "bad"},
      {"@oth.example", "smtp @oth.example oth.example"},
      {"user@a_b.example", "smtp user@a_b.example a_b.example"},
      {"mailer-daemon@mx.test.example", "foo mailer-daemon@mx.test.example mdn"},
  };
  const ResolverRules rules = default_rules();
  FakeLookups lookups;
  for (const Case& one : cases) {
    EXPECT_EQ(show(ask(rules, lookups, "me@mx.test.example", one.recipient)), one.expected) << one.recipient;
  }
}

TEST(Resolver, TheNullAddressGoesToTheAdministrator) {
  FakeLookups lookups;
  const ResolveReply reply = ask(default_rules(), lookups, "", "");
  EXPECT_EQ(reply.recipient, "MAILER-DAEMON@mx.test.example");
  EXPECT_EQ(reply.transport, "local");
}

TEST(Resolver, TellsTheAddressClass) {
  FakeLookups lookups;
  const auto class_of = [&](const char* recipient) {
    return ask(default_rules(), lookups, "", recipient).address_class;
  };
  EXPECT_EQ(class_of("a@localhost"), AddressClass::local);
  EXPECT_EQ(class_of("a@va.example"), AddressClass::virtual_alias);
  EXPECT_EQ(class_of("a@vm.example"), AddressClass::virtual_mailbox);
  EXPECT_EQ(class_of("a@relay.example"), AddressClass::relay);
  EXPECT_EQ(class_of("a@oth.example"), AddressClass::other);
}

TEST(Resolver, RelayhostOverridesTheDomainOfRelayAndOtherMailOnly) {
  ResolverRules rules = default_rules();
  rules.relayhost = "[rh.example]";
  FakeLookups lookups;
  const auto to = [&](const char* recipient) { return show(ask(rules, lookups, "me@d.example", recipient)); };
  EXPECT_EQ(to("u@mx.test.example"), "local u@mx.test.example mx.test.example");
  EXPECT_EQ(to("u@vm.example"), "virtual u@vm.example vm.example");
  EXPECT_EQ(to("u@relay.example"), "relay u@relay.example [rh.example]");
  EXPECT_EQ(to("u@oth.example"), "smtp u@oth.example [rh.example]");
  EXPECT_EQ(to("u@[192.0.2.9]"), "smtp u@[192.0.2.9] [rh.example]");
  EXPECT_EQ(to("u@null.example"), "smtp u@null.example [rh.example]");
  EXPECT_EQ(to("u@nulltr.example"), "smtp u@nulltr.example [gw.example]");
  EXPECT_EQ(to("u@nonext.example"), "uucp u@nonext.example nonext.example");
}

TEST(Resolver, AnExplicitNexthopOfATransportOverridesTheRelayhost) {
  ResolverRules rules = default_rules();
  rules.relayhost = "[rh.example]";
  rules.local_transport = "foo";
  rules.virtual_transport = "foo:vx";
  rules.relay_transport = "bar:rx";
  rules.default_transport = "smtp:dx";
  FakeLookups lookups;
  const auto to = [&](const char* recipient) { return show(ask(rules, lookups, "me@d.example", recipient)); };
  EXPECT_EQ(to("u@mx.test.example"), "foo u@mx.test.example mx.test.example");
  EXPECT_EQ(to("u@vm.example"), "foo u@vm.example vx");
  EXPECT_EQ(to("u@relay.example"), "bar u@relay.example rx");
  EXPECT_EQ(to("u@oth.example"), "smtp u@oth.example dx");
}

TEST(Resolver, SenderDependentTables) {
  ResolverRules rules = default_rules();
  rules.relayhost = "[rh.example]";
  FakeLookups lookups;
  lookups.sender_relayhosts = {{"me@mx.test.example", "[sdr.example]"},
                               {"@d.example", "[sdrdom.example]"},
                               {"<>", "[sdrnull.example]"},
                               {"dn@e.example", "DUNNO"},
                               {"@e.example", "[not.example]"}};
  const auto from = [&](const char* sender) { return show(ask(rules, lookups, sender, "u@oth.example")); };
  EXPECT_EQ(from("me@mx.test.example"), "smtp u@oth.example [sdr.example]");
  EXPECT_EQ(from("a@d.example"), "smtp u@oth.example [sdrdom.example]");
  EXPECT_EQ(from(""), "smtp u@oth.example [sdrnull.example]");
  EXPECT_EQ(from("dn@e.example"), "smtp u@oth.example [rh.example]");
  lookups.sender_transports = {{"me@mx.test.example", "bar:"}, {"@d.example", "foo:sdt"}, {"<>", "foo:nullsdt"}};
  EXPECT_EQ(from("me@mx.test.example"), "bar u@oth.example [sdr.example]");
  EXPECT_EQ(from("a@d.example"), "foo u@oth.example sdt");
  EXPECT_EQ(from(""), "foo u@oth.example nullsdt");
  EXPECT_EQ(show(ask(rules, lookups, "a@d.example", "u@relay.example")), "relay u@relay.example [sdrdom.example]");
  lookups.sender_relayhosts.clear();
  rules.relayhost.clear();
  rules.default_transport = "smtp:dx";
  EXPECT_EQ(from("me@mx.test.example"), "bar u@oth.example oth.example");
}

TEST(Resolver, AFailingTableMeansRetryWithTheRecipientAsItWas) {
  FakeLookups lookups;
  lookups.broken = true;
  const ResolveReply reply = ask(default_rules(), lookups, "", "user%x@localhost");
  EXPECT_EQ(reply.outcome, ResolveReply::Outcome::retry);
  EXPECT_EQ(reply.recipient, "user%x@localhost");
}

TEST(Resolver, WithoutATransportMailWaits) {
  ResolverRules rules = default_rules();
  rules.default_transport.clear();
  FakeLookups lookups;
  EXPECT_EQ(ask(rules, lookups, "", "u@oth.example").outcome, ResolveReply::Outcome::retry);
}

TEST(Resolver, ReportsDomainsThatAreInTwoClasses) {
  FakeLookups lookups;
  EXPECT_EQ(show(ask(default_rules(), lookups, "", "u@both.example")), "local u@both.example mx.test.example");
  EXPECT_EQ(show(ask(default_rules(), lookups, "", "u@bothvm.example")), "local u@bothvm.example mx.test.example");
  EXPECT_EQ(lookups.warnings, (std::vector<std::string>{"both.example mydestination virtual_alias_domains",
                                                        "bothvm.example mydestination virtual_mailbox_domains"}));
}

TEST(Resolver, AnAddressFullOfLocalRoutingEnds) {
  FakeLookups lookups;
  std::string address = "user";
  for (int i = 0; i < 500; ++i) { address += "@localhost"; }
  EXPECT_EQ(ask(default_rules(), lookups, "", address).transport, "local");
  address = "user";
  for (int i = 0; i < 500; ++i) {
    const std::string domain = "l" + std::to_string(i);
    lookups.local.insert(domain);
    address += "@" + domain;
  }
  EXPECT_EQ(ask(default_rules(), lookups, "", address).outcome, ResolveReply::Outcome::retry);
}

}  // namespace
}  // namespace stagepost::trivial_rewrite
