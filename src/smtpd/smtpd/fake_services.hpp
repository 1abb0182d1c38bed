// Services for tests: addresses by a simple rule, messages kept in memory, no clock, no sockets.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "maps/context.hpp"
#include "smtpd/smtpd/services.hpp"

namespace stagepost::smtpd {

struct RecordedMessage {
  clients::CleanupOpen open;
  std::vector<clients::RecipientRecord> recipients;
  std::string content;
  bool finished = false;
  bool aborted = false;  ///< taken back
  clients::CleanupEnd end;
};

class FakeServices final : public Services {
 public:
  std::vector<std::shared_ptr<RecordedMessage>> messages;
  clients::CleanupResult result;
  clients::CleanupRefusal refuse_open;            ///< refuses when `text` is not empty
  std::map<std::string, dns::Status> dns_status;  ///< by name; others are not found
  std::uint64_t free_bytes = 1ULL << 40;
  dns::ClientName client{.name = "client.test",
                         .reverse_name = "client.test",
                         .name_status = dns::Status::found,
                         .reverse_status = dns::Status::found,
                         .warning = {}};
  bool fail_resolve = false;
  std::vector<clients::AnvilEvent::What> events;

  /// ours.test is local, virtual.test virtual, *.relay.test relay; "routed" in the local part means sender routing.
  [[nodiscard]] net::Task<Result<clients::ResolveReply>> resolve(std::string, std::string recipient) override {
    using clients::AddressClass;
    if (fail_resolve) { co_return failure("no answer", std::errc::timed_out); }
    clients::ResolveReply reply{.transport = "smtp", .nexthop = {}, .recipient = recipient};
    if (recipient.find('@') == std::string::npos) { reply.recipient += "@ours.test"; }
    const std::string domain = reply.recipient.substr(reply.recipient.rfind('@') + 1);
    reply.nexthop = domain;
    reply.routed = recipient.starts_with("routed");
    if (domain == "ours.test") { reply.address_class = AddressClass::local; }
    if (domain == "virtual.test") { reply.address_class = AddressClass::virtual_mailbox; }
    if (domain == "relay.test") { reply.address_class = AddressClass::relay; }
    if (domain == "closed.test") {
      reply.transport = "error";
      reply.nexthop = "5.2.1 mailbox closed";
    }
    co_return reply;
  }
  [[nodiscard]] net::Task<dns::Answer> dns(std::string name, dns::Type) override {
    dns::Answer answer;
    const auto found = dns_status.find(name);
    answer.status = found == dns_status.end() ? dns::Status::not_found : found->second;
    co_return answer;
  }
  [[nodiscard]] net::Task<> sleep(std::chrono::seconds) override { co_return; }
  [[nodiscard]] net::Task<Opened> open_message(clients::CleanupOpen request) override {
    if (!refuse_open.text.empty()) { co_return std::unexpected(refuse_open); }
    auto message = std::make_shared<RecordedMessage>();
    message->open = std::move(request);
    messages.push_back(message);
    co_return Opened(std::make_unique<Sink>(*this, message, "ID" + std::to_string(messages.size())));
  }
  [[nodiscard]] net::Task<dns::ClientName> client_name(net::IpAddress) override { co_return client; }
  [[nodiscard]] net::Task<Result<clients::FlushReply::Status>> flush_site(std::string site) override {
    co_return site == "relay.test" ? clients::FlushReply::Status::ok : clients::FlushReply::Status::unknown;
  }
  void count(clients::AnvilEvent::What event, const std::string&) override { events.push_back(event); }
  [[nodiscard]] Result<std::uint64_t> queue_free_bytes() override { return free_bytes; }
  [[nodiscard]] std::shared_ptr<const tls::ServerContext> tls() override { return nullptr; }

 private:
  class Sink final : public MessageSink {
   public:
    Sink(FakeServices& owner, std::shared_ptr<RecordedMessage> message, std::string id)
        : owner_(owner), message_(std::move(message)), id_(std::move(id)) {}
    [[nodiscard]] const std::string& queue_id() const override { return id_; }
    [[nodiscard]] net::Task<Result<>> add_recipients(std::vector<clients::RecipientRecord> recipients) override {
      for (auto& recipient : recipients) { message_->recipients.push_back(std::move(recipient)); }
      co_return Result<>{};
    }
    [[nodiscard]] net::Task<Result<>> add_content(std::string bytes) override {
      message_->content += bytes;
      co_return Result<>{};
    }
    [[nodiscard]] net::Task<Result<clients::CleanupResult>> finish(clients::CleanupEnd end) override {
      if (!end.commit) {
        message_->aborted = true;
        co_return clients::CleanupResult{.status = clients::CleanupResult::Status::aborted, .code = {}, .text = {}};
      }
      message_->finished = true;
      message_->end = std::move(end);
      co_return owner_.result;
    }

   private:
    FakeServices& owner_;
    std::shared_ptr<RecordedMessage> message_;
    std::string id_;
  };
};

/// A policy from main.cf text on top of a small default.
[[nodiscard]] inline std::shared_ptr<const Policy> test_policy(const std::string& more,
                                                               SessionKind kind = SessionKind::network) {
  const std::string text =
      "compatibility_level = 3.6\nmyhostname = mx.test\nmynetworks = 192.0.2.0/28\nmydestination = ours.test\n"
      "inet_interfaces = 127.0.0.1\nalias_maps =\nlocal_recipient_maps = inline:{ {user@ours.test=x} {user=x} }\n"
      "virtual_mailbox_maps = inline:{ {box@virtual.test=x} }\nmessage_size_limit = 1000\n"
      "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_error_sleep_time = 0\n" +
      more;
  const auto config = config::Snapshot::from_text(text, "main.cf", {});
  if (!config) { throw std::runtime_error(config.error().message()); }
  const auto policy = Policy::create(**config, maps::make_context(*config, nullptr), kind);
  if (!policy) { throw std::runtime_error(policy.error().message()); }
  return *policy;
}

}  // namespace stagepost::smtpd
