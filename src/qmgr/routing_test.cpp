#include "qmgr/routing.hpp"

#include <gtest/gtest.h>

namespace stagepost::qmgr {
namespace {

using clients::AddressClass;
using clients::ResolveReply;

ResolveReply resolved(std::string recipient, AddressClass address_class = AddressClass::other) {
  ResolveReply reply;
  reply.transport = "smtp";
  reply.nexthop = "example.com";
  reply.recipient = std::move(recipient);
  reply.address_class = address_class;
  return reply;
}

TEST(Routing, FilterNamesTransportAndNexthop) {
  RoutingRules rules;
  const Route full = filter_route("scan:[127.0.0.1]:10024", "a@example.com", rules);
  EXPECT_EQ(full.transport, "scan");
  EXPECT_EQ(full.nexthop, "[127.0.0.1]:10024");
  EXPECT_EQ(full.recipient, "a@example.com");
  EXPECT_EQ(filter_route("scan:", "a@example.com", rules).nexthop, "example.com");
  EXPECT_EQ(filter_route("scan", "a@example.com", rules).nexthop, "example.com");
  rules.default_filter_nexthop = "mx.example";
  EXPECT_EQ(filter_route("scan:", "a@example.com", rules).nexthop, "mx.example");
}

TEST(Routing, WithVerpTheSenderTellsTheRecipient) {
  const clients::RecipientRecord plain{.address = "u@d"};
  const clients::RecipientRecord aliased{.address = "target@d", .original = "alias@d"};
  EXPECT_EQ(request_sender("list@b", "", {plain}), "list@b");
  EXPECT_EQ(request_sender("list@b", "+=", {plain}), "list+u=d@b");
  EXPECT_EQ(request_sender("list@b", "+=", {aliased}), "list+alias=d@b");
  EXPECT_EQ(request_sender("", "+=", {plain}), "");
  EXPECT_EQ(request_sender("list@b", "+", {plain}), "list@b");
  EXPECT_EQ(request_sender("list@b", "+=", {}), "list@b");
}

TEST(Routing, WithVerpEachRecipientGoesAloneToTheSameDestination) {
  std::vector<RoutedRecipient> recipients;
  for (const char* address : {"a@d", "b@d"}) {
    recipients.push_back({{.address = address}, {Route::Kind::deliver, "smtp", "d", address}});
  }
  GroupLimits limits;
  limits.recipients = [](std::string_view) { return std::size_t{50}; };
  EXPECT_EQ(group(recipients, limits).deliveries.size(), 1U);
  limits.one_to_a_request = true;
  const Grouped grouped = group(recipients, limits);
  ASSERT_EQ(grouped.deliveries.size(), 2U);
  EXPECT_EQ(grouped.deliveries[0].destination, "d");
  EXPECT_EQ(grouped.deliveries[1].destination, "d");
  EXPECT_TRUE(grouped.duplicates.empty());
}

TEST(Routing, FollowsTheResolver) {
  const Route route = resolved_route(resolved("a@example.com"), {}, DeferTransports::honour);
  EXPECT_EQ(route.kind, Route::Kind::deliver);
  EXPECT_EQ(route.transport, "smtp");
  EXPECT_EQ(route.nexthop, "example.com");
}

TEST(Routing, TurnsProblemsIntoErrorOrRetry) {
  RoutingRules rules;
  ResolveReply reply = resolved("a@example.com");
  reply.outcome = ResolveReply::Outcome::bad_address;
  Route route = resolved_route(reply, rules, DeferTransports::honour);
  EXPECT_EQ(route.transport, "error");
  EXPECT_EQ(route.nexthop, "5.1.3 bad address syntax");
  reply.outcome = ResolveReply::Outcome::retry;
  route = resolved_route(reply, rules, DeferTransports::honour);
  EXPECT_EQ(route.transport, "retry");
  EXPECT_EQ(route.nexthop, "4.3.0 address resolver failure");
  EXPECT_EQ(resolved_route(resolved("-a@b"), rules, DeferTransports::honour).transport, "error");
  rules.allow_min_user = true;
  EXPECT_EQ(resolved_route(resolved("-a@b"), rules, DeferTransports::honour).transport, "smtp");
}

TEST(Routing, DropsMailForTheDoubleBounceAddressOfThisHostOnly) {
  const RoutingRules rules;
  EXPECT_EQ(resolved_route(resolved("Double-Bounce@me", AddressClass::local), rules, DeferTransports::honour).kind,
            Route::Kind::discard);
  EXPECT_EQ(resolved_route(resolved("double-bounce@else"), rules, DeferTransports::honour).kind, Route::Kind::deliver);
  EXPECT_EQ(resolved_route(resolved("a@me", AddressClass::local), rules, DeferTransports::honour).kind,
            Route::Kind::deliver);
}

TEST(Routing, DeferTransportsYieldToAFlush) {
  RoutingRules rules;
  rules.defer_transports = {"uucp", "smtp"};
  const Route route = resolved_route(resolved("a@b"), rules, DeferTransports::honour);
  EXPECT_EQ(route.transport, "retry");
  EXPECT_EQ(route.nexthop, "4.3.2 deferred transport");
  EXPECT_EQ(resolved_route(resolved("a@b"), rules, DeferTransports::ignore).transport, "smtp");
}

RoutedRecipient routed(std::string address, std::string transport, std::string nexthop, std::int64_t offset = 1) {
  RoutedRecipient result;
  result.recipient.address = address;
  result.recipient.offset = offset;
  result.route = {Route::Kind::deliver, std::move(transport), std::move(nexthop), std::move(address)};
  return result;
}

GroupLimits limit(std::size_t recipients, std::size_t octets = 256 * 1024) {
  return {[recipients](std::string_view) { return recipients; }, octets};
}

TEST(Grouping, PutsOneNexthopTogetherUpToTheLimit) {
  std::vector<RoutedRecipient> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(routed("x" + std::to_string(i) + "@x", "smtp", "x"));
    all.push_back(routed("y" + std::to_string(i) + "@y", "smtp", "y"));
  }
  const Grouped grouped = group(std::move(all), limit(3));
  ASSERT_EQ(grouped.deliveries.size(), 4U);
  EXPECT_EQ(grouped.deliveries[0].recipients.size(), 3U);
  EXPECT_EQ(grouped.deliveries[0].destination, "x");
  EXPECT_EQ(grouped.deliveries[1].nexthop, "y");
  EXPECT_EQ(grouped.deliveries[2].recipients.size(), 2U);
}

TEST(Grouping, SameNexthopOfAnotherTransportIsAnotherGroup) {
  std::vector<RoutedRecipient> all{routed("a@x", "smtp", "x"), routed("b@x", "relay", "x")};
  EXPECT_EQ(group(std::move(all), limit(50)).deliveries.size(), 2U);
}

TEST(Grouping, WithOneRecipientToARequestTheRecipientIsTheDestination) {
  std::vector<RoutedRecipient> all{routed("a@x", "local", "x"), routed("b@x", "local", "x")};
  const Grouped grouped = group(std::move(all), limit(1));
  ASSERT_EQ(grouped.deliveries.size(), 2U);
  EXPECT_NE(grouped.deliveries[0].destination, grouped.deliveries[1].destination);
  EXPECT_EQ(grouped.deliveries[0].nexthop, grouped.deliveries[1].nexthop);
}

TEST(Grouping, WithoutLimitOnlySizeDivides) {
  std::vector<RoutedRecipient> all;
  for (int i = 0; i < 1000; ++i) { all.push_back(routed("u" + std::to_string(i) + "@x", "smtp", "x")); }
  EXPECT_EQ(group(all, limit(0)).deliveries.size(), 1U);
  const Grouped divided = group(all, limit(0, 4096));
  EXPECT_GT(divided.deliveries.size(), 9U);
  std::size_t total = 0;
  for (const Delivery& delivery : divided.deliveries) { total += delivery.recipients.size(); }
  EXPECT_EQ(total, 1000U);
}

TEST(Grouping, DuplicatesAreHandedBackToBeMarkedDone) {
  std::vector<RoutedRecipient> all{routed("a@x", "smtp", "x", 10), routed("a@x", "smtp", "x", 20),
                                   routed("a@x", "relay", "x", 30)};
  const Grouped grouped = group(std::move(all), limit(50));
  EXPECT_EQ(grouped.deliveries.size(), 2U);
  ASSERT_EQ(grouped.duplicates.size(), 1U);
  EXPECT_EQ(grouped.duplicates[0].offset, 20);
}

TEST(Grouping, KeepsTheOriginalOfAnAddressThatResolvingChanged) {
  RoutedRecipient changed = routed("a%x@here", "smtp", "x");
  changed.route.recipient = "a@x";
  std::vector<RoutedRecipient> all{changed};
  const Grouped grouped = group(std::move(all), limit(50));
  ASSERT_EQ(grouped.deliveries.size(), 1U);
  EXPECT_EQ(grouped.deliveries[0].recipients[0].address, "a@x");
  EXPECT_EQ(grouped.deliveries[0].recipients[0].original, "a%x@here");
}

}  // namespace
}  // namespace stagepost::qmgr
