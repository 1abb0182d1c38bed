// What sessions need from the rest of the process, for real: clients of the other daemons, DNS, the queue's file
// system.
#pragma once

#include <memory>
#include <string>

#include "clients/cleanup.hpp"
#include "clients/flush.hpp"
#include "clients/rewrite.hpp"
#include "net/task_group.hpp"
#include "smtpd/smtpd/anvil_reporter.hpp"
#include "smtpd/smtpd/services.hpp"

namespace stagepost::smtpd {

using TlsPtr = std::shared_ptr<const tls::ServerContext>;

class ProcessServices final : public Services {
 public:
  /// The working directory is the queue directory. `keep_busy`: see AnvilReporter.
  ProcessServices(net::EventLoop& loop, const config::Snapshot& config, std::unique_ptr<dns::Resolver> resolver,
                  TlsPtr tls, AnvilReporter::KeepBusy keep_busy, std::string service_name);

  /// Before the end: what still runs here uses this object.
  [[nodiscard]] net::Task<> stop() { return tasks_.cancel_and_join(); }

  [[nodiscard]] net::Task<Result<clients::ResolveReply>> resolve(std::string sender, std::string recipient) override;
  [[nodiscard]] net::Task<dns::Answer> dns(std::string name, dns::Type type) override;
  [[nodiscard]] net::Task<> sleep(std::chrono::seconds time) override;
  [[nodiscard]] net::Task<Opened> open_message(clients::CleanupOpen request) override;
  [[nodiscard]] net::Task<dns::ClientName> client_name(net::IpAddress address) override;
  [[nodiscard]] net::Task<Result<clients::FlushReply::Status>> flush_site(std::string site) override;
  void count(clients::AnvilEvent::What event, const std::string& client_address) override;
  [[nodiscard]] Result<std::uint64_t> queue_free_bytes() override { return free_bytes_in("."); }
  [[nodiscard]] TlsPtr tls() override { return tls_; }

 private:
  std::unique_ptr<dns::Resolver> resolver_;
  TlsPtr tls_;
  clients::RewriteClient rewrite_;
  clients::CleanupClient cleanup_;
  clients::FlushClient flush_;
  AnvilReporter anvil_;
  net::TaskGroup tasks_;
};

}  // namespace stagepost::smtpd
