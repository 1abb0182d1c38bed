// What a stand-alone session of an ordinary user needs: messages go to postdrop(1), nothing is looked up, nobody is
// asked. Works while the mail system is down.
#pragma once

#include <string>

#include "smtpd/smtpd/services.hpp"

namespace stagepost::smtpd {

class PostdropServices final : public Services {
 public:
  explicit PostdropServices(config::SnapshotPtr config) : config_(std::move(config)) {}

  [[nodiscard]] net::Task<Result<clients::ResolveReply>> resolve(std::string sender, std::string recipient) override;
  [[nodiscard]] net::Task<dns::Answer> dns(std::string name, dns::Type type) override;
  [[nodiscard]] net::Task<> sleep(std::chrono::seconds time) override;
  [[nodiscard]] net::Task<Opened> open_message(clients::CleanupOpen request) override;
  [[nodiscard]] net::Task<dns::ClientName> client_name(net::IpAddress address) override;
  [[nodiscard]] net::Task<Result<clients::FlushReply::Status>> flush_site(std::string site) override;
  void count(clients::AnvilEvent::What, const std::string&) override {}
  [[nodiscard]] Result<std::uint64_t> queue_free_bytes() override {
    return free_bytes_in(config_->text("queue_directory"));
  }
  [[nodiscard]] std::shared_ptr<const tls::ServerContext> tls() override { return nullptr; }

 private:
  config::SnapshotPtr config_;
};

}  // namespace stagepost::smtpd
