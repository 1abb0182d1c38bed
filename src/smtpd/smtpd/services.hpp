// What a session needs from the rest of the process and from other daemons; tests put fakes in its place.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "clients/anvil.hpp"
#include "clients/cleanup.hpp"
#include "clients/flush.hpp"
#include "smtpd/smtpd/access.hpp"
#include "tls/context.hpp"

namespace stagepost::smtpd {

/// One message on its way into the queue. Destroyed before finish() returned, it has submitted nothing.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  [[nodiscard]] virtual const std::string& queue_id() const = 0;
  [[nodiscard]] virtual net::Task<Result<>> add_recipients(std::vector<clients::RecipientRecord> recipients) = 0;
  [[nodiscard]] virtual net::Task<Result<>> add_content(std::string bytes) = 0;
  [[nodiscard]] virtual net::Task<Result<clients::CleanupResult>> finish(clients::CleanupEnd end) = 0;
};

class Services : public Lookups {
 public:
  using Opened = std::expected<std::unique_ptr<MessageSink>, clients::CleanupRefusal>;
  [[nodiscard]] virtual net::Task<Opened> open_message(clients::CleanupOpen request) = 0;
  [[nodiscard]] virtual net::Task<dns::ClientName> client_name(net::IpAddress address) = 0;
  [[nodiscard]] virtual net::Task<Result<clients::FlushReply::Status>> flush_site(std::string site) = 0;
  /// Reports to anvil without waiting.
  virtual void count(clients::AnvilEvent::What event, const std::string& client_address) = 0;
  /// Free bytes in the queue's file system for the likes of us.
  [[nodiscard]] virtual Result<std::uint64_t> queue_free_bytes() = 0;
  /// Null: no usable certificate.
  [[nodiscard]] virtual std::shared_ptr<const tls::ServerContext> tls() = 0;
};

/// Free bytes of the file system that holds `directory`, for users without privileges.
[[nodiscard]] Result<std::uint64_t> free_bytes_in(const std::string& directory);

}  // namespace stagepost::smtpd
