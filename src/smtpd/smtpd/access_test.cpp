#include "smtpd/smtpd/access.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "smtpd/smtpd/access_reply.hpp"
#include "smtpd/smtpd/fake_services.hpp"

namespace stagepost::smtpd {
namespace {

struct Outcome {
  std::string reply = "ok";
  std::vector<std::string> notes;
  AccessEffects effects;
};

struct Question {
  std::string client_address = "198.51.100.7";
  std::string client_name = "client.test";
  dns::Status client_status = dns::Status::found;
  std::string helo = "helo.test";
  std::string sender = "a@sender.test";
  std::string recipient = "user@ours.test";
  std::vector<Stage> stages = {Stage::client, Stage::helo, Stage::sender, Stage::relay, Stage::recipient};
  std::uint32_t recipients = 0;
};

net::Task<> evaluate(const Policy& policy, FakeServices& services, const Question& question, Outcome& outcome) {
  Client client;
  client.name = question.client_name;
  client.reverse_name = question.client_name;
  client.address = question.client_address;
  client.label = client.name + "[" + client.address + "]";
  client.name_status = client.reverse_status = question.client_status;
  AccessRequest request{.client = client,
                        .helo = question.helo,
                        .sender = question.sender,
                        .recipient = question.recipient,
                        .recipients = question.recipients};
  const AccessNote note = [&](std::string_view kind, std::string text) {
    outcome.notes.push_back(std::string(kind) + ": " + text);
  };
  auto refusal = co_await check_access(policy, services, request, question.stages, outcome.effects, note);
  if (refusal) { outcome.reply = smtp::reply_for_log(*refusal); }
}

Outcome ask(const std::string& main_cf, const Question& question, FakeServices services = {}) {
  const auto policy = test_policy(main_cf);
  net::EventLoop loop;
  Outcome outcome;
  loop.run_task(evaluate(*policy, services, question, outcome));
  return outcome;
}

struct Case {
  std::string main_cf;
  Question question;
  std::string reply;
};

TEST(Access, RelayingIsForOurNetworksAndOurDomains) {
  const std::string denied = "554 5.7.1 <x@far.test>: Relay access denied";
  EXPECT_EQ(ask("", {.recipient = "x@far.test"}).reply, denied);
  EXPECT_EQ(ask("", {.client_address = "192.0.2.9", .recipient = "x@far.test"}).reply, "ok");
  EXPECT_EQ(ask("", {.recipient = "user@ours.test"}).reply, "ok");
  EXPECT_EQ(ask("", {.recipient = "box@virtual.test"}).reply, "ok");
  EXPECT_EQ(ask("", {.recipient = "any@relay.test"}).reply, "ok");
  EXPECT_EQ(ask("", {.recipient = "routed%far.test@ours.test"}).reply,
            "554 5.7.1 <routed%far.test@ours.test>: Relay access denied");
  EXPECT_EQ(ask("smtpd_relay_restrictions = defer_unauth_destination\n", {.recipient = "x@far.test"}).reply,
            "454 4.7.1 <x@far.test>: Relay access denied");
}

TEST(Access, UnknownRecipientsAreRefusedWhoeverSends) {
  const std::string unknown =
      "550 5.1.1 <no@ours.test>: Recipient address rejected: User unknown in local recipient table";
  EXPECT_EQ(ask("", {.recipient = "no@ours.test"}).reply, unknown);
  EXPECT_EQ(ask("", {.client_address = "192.0.2.9", .recipient = "no@ours.test"}).reply, unknown);
  EXPECT_EQ(ask("smtpd_reject_unlisted_recipient = no\n", {.recipient = "no@ours.test"}).reply, "ok");
  EXPECT_EQ(ask("local_recipient_maps =\n", {.recipient = "no@ours.test"}).reply, "ok");
  EXPECT_EQ(ask("", {.recipient = "no@virtual.test"}).reply,
            "550 5.1.1 <no@virtual.test>: Recipient address rejected: User unknown in virtual mailbox table");
  EXPECT_EQ(ask("show_user_unknown_table_name = no\n", {.recipient = "no@virtual.test"}).reply,
            "550 5.1.1 <no@virtual.test>: Recipient address rejected: User unknown");
  EXPECT_EQ(ask("unknown_local_recipient_reject_code = 450\n", {.recipient = "no@ours.test"}).reply,
            "450 4.1.1 <no@ours.test>: Recipient address rejected: User unknown in local recipient table");
  EXPECT_EQ(ask("virtual_alias_maps = inline:{ {no@ours.test=x} }\n", {.recipient = "no@ours.test"}).reply, "ok");
  EXPECT_EQ(ask("", {.client_address = "192.0.2.9", .recipient = "x@closed.test"}).reply,
            "550 5.2.1 <x@closed.test>: Recipient address rejected: mailbox closed");
}

TEST(Access, AServiceThatDoesNotAnswerIsTemporary) {
  FakeServices services;
  services.fail_resolve = true;
  EXPECT_EQ(ask("", {}, services).reply, "451 4.3.0 <user@ours.test>: Temporary lookup failure");
}

TEST(Access, TableActions) {
  const auto with = [](const std::string& action) {
    return ask("smtpd_recipient_restrictions = check_recipient_access inline:{ {user@ours.test=" + action + "} }\n",
               {});
  };
  const std::string rejected = "<user@ours.test>: Recipient address rejected: ";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"OK", "ok"},
      {"12345", "ok"},
      {"550", "ok"},
      {"DUNNO", "ok"},
      {"permit", "ok"},
      {"REJECT", "554 5.7.1 " + rejected + "Access denied"},
      {"reject", "554 5.7.1 " + rejected + "Access denied"},
      {"REJECT some text", "554 5.7.1 " + rejected + "some text"},
      {"REJECT 4.7.1 x", "554 5.7.1 " + rejected + "x"},
      {"DEFER", "450 4.7.1 " + rejected + "Access denied"},
      {"550 custom", "550 5.7.1 " + rejected + "custom"},
      {"450 4.1.8 custom", "450 4.1.2 " + rejected + "custom"},
      {"450 4.1.7", "450 4.1.3 " + rejected + "Access denied"},
      {"421 4.7.0 go away", "421 4.7.0 " + rejected + "go away"},
      {"DEFER_IF_PERMIT", "450 4.7.1 " + rejected + "Service unavailable"},
      {"DEFER_IF_REJECT why", "ok"},
      {"FILTER bad", "ok"},
      {"bogus", "451 4.3.5 Server configuration error"},
      {"check_sender_access inline:{x=y}", "451 4.3.5 Server configuration error"},
  };
  for (const auto& [action, reply] : cases) { EXPECT_EQ(with(action).reply, reply) << action; }
}

TEST(Access, TableActionsWithEffects) {
  const auto with = [](const std::string& action) {
    return ask(
        "smtpd_recipient_restrictions = check_recipient_access inline:{ {user@ours.test=" + action + "} }, reject\n",
        {});
  };
  const Outcome held = with("HOLD");
  EXPECT_TRUE(held.effects.hold);
  EXPECT_EQ(held.notes, std::vector<std::string>{"hold: <user@ours.test>: Recipient address triggers HOLD action"});
  EXPECT_EQ(held.reply, "554 5.7.1 <user@ours.test>: Recipient address rejected: Access denied");
  const Outcome discarded = with("DISCARD");
  EXPECT_TRUE(discarded.effects.discard);
  EXPECT_EQ(discarded.reply, "ok");
  EXPECT_EQ(with("FILTER smtp:[x]:1").effects.filter, "smtp:[x]:1");
  EXPECT_EQ(with("REDIRECT r@x.test").effects.redirect, "r@x.test");
  EXPECT_EQ(with("BCC r@x.test").effects.bcc, std::vector<std::string>{"r@x.test"});
  EXPECT_EQ(with("PREPEND X-Foo: bar").effects.prepend, std::vector<std::string>{"X-Foo: bar"});
  EXPECT_EQ(with("WARN careful").notes, std::vector<std::string>{"warn: careful"});
  EXPECT_EQ(with("DEFER_IF_REJECT why").reply, "450 4.7.1 <user@ours.test>: Recipient address rejected: why");
}

TEST(Access, LookUpsByClientHeloAndSender) {
  const auto list = [](const std::string& rule) { return "smtpd_recipient_restrictions = " + rule + "\n"; };
  EXPECT_EQ(ask(list("check_client_access inline:{ {test=REJECT} }"), {}).reply,
            "554 5.7.1 <client.test[198.51.100.7]>: Client host rejected: Access denied");
  EXPECT_EQ(ask(list("check_client_access inline:{ {198.51.100=REJECT no} }"), {}).reply,
            "554 5.7.1 <client.test[198.51.100.7]>: Client host rejected: no");
  EXPECT_EQ(ask(list("check_helo_access inline:{ {helo.test=550 5.1.3 z} }"), {}).reply,
            "550 5.0.0 <helo.test>: Helo command rejected: z");
  EXPECT_EQ(ask(list("check_sender_access inline:{ {sender.test=550 5.1.1 z} }"), {}).reply,
            "550 5.1.7 <a@sender.test>: Sender address rejected: z");
  EXPECT_EQ(ask(list("check_sender_access inline:{ {<>=REJECT} }"), {.sender = ""}).reply,
            "554 5.7.1 <>: Sender address rejected: Access denied");
  EXPECT_EQ(ask(list("check_recipient_access fail:x"), {}).reply,
            "451 4.3.5 <user@ours.test>: Recipient address rejected: Server configuration error");
}

TEST(Access, GenericRestrictions) {
  const auto list = [](const std::string& rule) { return "smtpd_recipient_restrictions = " + rule + "\n"; };
  const std::string rejected = "<user@ours.test>: Recipient address rejected: ";
  EXPECT_EQ(ask(list("reject"), {}).reply, "554 5.7.1 " + rejected + "Access denied");
  EXPECT_EQ(ask(list("defer"), {}).reply, "450 4.3.2 " + rejected + "Try again later");
  EXPECT_EQ(ask(list("defer_if_permit"), {}).reply, "450 4.7.0 " + rejected + "defer_if_permit requested");
  EXPECT_EQ(ask(list("defer_if_permit, reject"), {}).reply, "554 5.7.1 " + rejected + "Access denied");
  EXPECT_EQ(ask(list("permit_mynetworks, reject"), {.client_address = "192.0.2.3"}).reply, "ok");
  EXPECT_EQ(ask(list("nonsense"), {}).reply, "451 4.3.5 Server configuration error");
  EXPECT_EQ(ask(list("check_recipient_access"), {}).reply, "451 4.3.5 Server configuration error");
  EXPECT_EQ(ask(list("klass") + "smtpd_restriction_classes = klass\nklass = reject\n", {}).reply,
            "554 5.7.1 " + rejected + "Access denied");
  EXPECT_EQ(ask(list("klass") + "smtpd_restriction_classes = klass\nklass = klass\n", {}).reply,
            "451 4.3.5 Server configuration error");
  const Outcome warned = ask(list("warn_if_reject, reject, permit"), {});
  EXPECT_EQ(warned.reply, "ok");
  EXPECT_EQ(warned.notes, std::vector<std::string>{"reject_warning: 554 5.7.1 " + rejected + "Access denied"});
}

TEST(Access, HeloNames) {
  const std::string list =
      "smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, "
      "reject_unknown_helo_hostname\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"foo", "504 5.5.2 <foo>: Helo command rejected: need fully-qualified hostname"},
      {"-x..y", "501 5.5.2 <-x..y>: Helo command rejected: Invalid name"},
      {"[1.2.3]", "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address"},
      {"[1.2.3.4]", "ok"},
      {"1.2.3.4", "504 5.5.2 <1.2.3.4>: Helo command rejected: need fully-qualified hostname"},
      {"nosuch.test", "450 4.7.1 <nosuch.test>: Helo command rejected: Host not found"},
      {"good.test", "ok"},
      {"slow.test", "450 4.7.1 <slow.test>: Helo command rejected: Host not found"},
  };
  FakeServices services;
  services.dns_status = {{"good.test", dns::Status::found}, {"slow.test", dns::Status::temporary}};
  for (const auto& [helo, reply] : cases) { EXPECT_EQ(ask(list, {.helo = helo}, services).reply, reply) << helo; }
}

TEST(Access, SenderAndClientNames) {
  const std::string fqdn = "smtpd_sender_restrictions = reject_non_fqdn_sender\n";
  EXPECT_EQ(ask(fqdn, {.sender = "a@b"}).reply,
            "504 5.5.2 <a@b>: Sender address rejected: need fully-qualified address");
  EXPECT_EQ(ask(fqdn, {.sender = ""}).reply, "ok");
  const std::string domain = "smtpd_sender_restrictions = reject_unknown_sender_domain\n";
  EXPECT_EQ(ask(domain, {.sender = "a@no.test"}).reply,
            "450 4.1.8 <a@no.test>: Sender address rejected: Domain not found");
  EXPECT_EQ(ask(domain, {.sender = "a@ours.test"}).reply, "ok");
  const std::string client = "smtpd_client_restrictions = reject_unknown_client_hostname\n";
  EXPECT_EQ(ask(client, {.client_name = "unknown", .client_status = dns::Status::not_found}).reply,
            "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]");
  EXPECT_EQ(ask("smtpd_reject_unlisted_sender = yes\n", {.sender = "no@ours.test"}).reply,
            "550 5.1.0 <no@ours.test>: Sender address rejected: User unknown in local recipient table");
}

TEST(Access, BouncesHaveOneRecipient) {
  const std::string list = "smtpd_data_restrictions = reject_multi_recipient_bounce\n";
  EXPECT_EQ(ask(list, {.sender = "", .stages = {Stage::data}, .recipients = 2}).reply,
            "550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce");
  EXPECT_EQ(ask(list, {.sender = "", .stages = {Stage::data}, .recipients = 1}).reply, "ok");
}

TEST(Policy, RelayingForEveryoneIsAFatalMistake) {
  EXPECT_THROW(static_cast<void>(test_policy("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions =\n")),
               std::runtime_error);
  EXPECT_THROW(static_cast<void>(test_policy("smtpd_relay_restrictions = warn_if_reject reject_unauth_destination\n")),
               std::runtime_error);
}

TEST(FitStatus, ExchangesAddressCodes) {
  EXPECT_EQ(fit_status("5.1.1", kSenderAddress), "5.1.7");
  EXPECT_EQ(fit_status("4.1.5", kSenderAddress), "4.1.0");
  EXPECT_EQ(fit_status("5.1.8", kRecipientAddress), "5.1.2");
  EXPECT_EQ(fit_status("5.1.6", kRecipientAddress), "5.1.6");
  EXPECT_EQ(fit_status("5.1.6", kClientHost), "5.0.0");
  EXPECT_EQ(fit_status("5.7.1", kClientHost), "5.7.1");
}

/// Lines that OldDefaults says about one question below a level.
std::vector<std::string> reminders(const std::string& main_cf, const Question& question) {
  const auto config = config::Snapshot::from_text(
      "myhostname = mx.test\nmynetworks = 192.0.2.0/28\nmydestination = ours.test\ninet_interfaces = 127.0.0.1\n"
      "alias_maps =\nlocal_recipient_maps =\n" +
          main_cf,
      "main.cf", {});
  const auto policy =
      std::const_pointer_cast<Policy>(Policy::create(**config, maps::make_context(*config, nullptr)).value());
  std::vector<std::string> lines;
  policy->old_defaults.say = [&](std::string_view text) { lines.emplace_back(text); };
  FakeServices services;
  net::EventLoop loop;
  Outcome outcome;
  loop.run_task(evaluate(*policy, services, question, outcome));
  if (!outcome.effects.reminder.empty()) { lines.push_back(outcome.effects.reminder); }
  return lines;
}

TEST(OldDefaults, AreNamedWhereTheNewOnesWouldRefuse) {
  using Lines = std::vector<std::string>;
  const std::string level_0 =
      "compatibility_level = 0\nsmtpd_recipient_restrictions = check_sender_access inline:{{boss@sender.test=OK}}, "
      "permit_mynetworks, reject_unauth_destination\n";
  EXPECT_EQ(
      reminders(level_0,
                {.sender = "boss@sender.test", .recipient = "x@far.test", .stages = {Stage::recipient, Stage::relay}}),
      Lines{"\"smtpd_relay_restrictions = (empty)\" to avoid \"Relay access denied\" error for recipient "
            "\"x@far.test\" from client \"client.test[198.51.100.7]\""});
  EXPECT_EQ(reminders(level_0, {.recipient = "user@ours.test", .stages = {Stage::recipient, Stage::relay}}), Lines{});
  EXPECT_EQ(reminders(level_0, {.recipient = "x@far.test", .stages = {Stage::recipient, Stage::relay}}),
            Lines{"smtpd_relay_before_recipient_restrictions=no to reject recipient \"x@far.test\" from client "
                  "\"client.test[198.51.100.7]\""});
  // Said by the administrator: nothing to remind of.
  EXPECT_EQ(
      reminders(level_0 + "smtpd_relay_restrictions =\nsmtpd_relay_before_recipient_restrictions = no\n",
                {.sender = "boss@sender.test", .recipient = "x@far.test", .stages = {Stage::recipient, Stage::relay}}),
      Lines{});
  EXPECT_EQ(reminders("compatibility_level = 3.6\nsmtpd_recipient_restrictions = reject\n",
                      {.recipient = "x@far.test", .stages = {Stage::recipient, Stage::relay}}),
            Lines{});
}

}  // namespace
}  // namespace stagepost::smtpd
