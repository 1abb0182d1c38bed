// Mail that leaves for other addresses: one new message per envelope sender, made while a recipient is expanded, and
// committed only when all the rest of the recipient went well, so that a second attempt does not send it twice
// (local(8), MAIL FORWARDING).
#pragma once

#include <list>
#include <optional>
#include <string>
#include <vector>

#include "clients/cleanup.hpp"
#include "delivery/attempt.hpp"

namespace stagepost::local {

class Forwarding {
 public:
  /// `delivered_to`: for the Delivered-To: field in front; empty: none.
  Forwarding(delivery::Attempt& attempt, clients::CleanupClient& cleanup, std::string delivered_to)
      : attempt_(attempt), cleanup_(cleanup), delivered_to_(std::move(delivered_to)) {}

  /// Adds a recipient to the new message of `sender` (internal form). Recipients go on in batches, so that a list of
  /// any length takes little memory here.
  [[nodiscard]] net::Task<Result<>> add(std::string sender, clients::RecipientRecord recipient);

  /// What became of one new message.
  struct Finished {
    std::string queue_id;
    clients::CleanupResult result;
  };
  /// Ends the next message, in the order of their senders' first appearance; nullopt: there is none left.
  [[nodiscard]] net::Task<Result<std::optional<Finished>>> finish_one();
  [[nodiscard]] bool empty() const { return messages_.empty(); }

 private:
  struct Message {
    std::string sender;
    clients::Submission submission;
    std::vector<clients::RecipientRecord> batch;
  };
  [[nodiscard]] net::Task<Result<Message*>> message_for(std::string sender);
  [[nodiscard]] net::Task<Result<>> send_batch(Message& message);
  [[nodiscard]] net::Task<Result<>> send_content(Message& message);

  delivery::Attempt& attempt_;
  clients::CleanupClient& cleanup_;
  std::string delivered_to_;
  std::list<Message> messages_;
};

}  // namespace stagepost::local
