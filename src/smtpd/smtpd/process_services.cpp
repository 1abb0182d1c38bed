#include "smtpd/smtpd/process_services.hpp"

#include <sys/statvfs.h>

#include "net/event.hpp"

namespace stagepost::smtpd {
namespace {

/// A name for a client must not take longer than the client's patience.
constexpr std::chrono::seconds kNameLookupTime{60};

class QueueSink final : public MessageSink {
 public:
  explicit QueueSink(clients::Submission submission) : submission_(std::move(submission)) {}
  [[nodiscard]] const std::string& queue_id() const override { return submission_.queue_id(); }
  [[nodiscard]] net::Task<Result<>> add_recipients(std::vector<clients::RecipientRecord> recipients) override {
    return submission_.add_recipients(std::move(recipients));
  }
  [[nodiscard]] net::Task<Result<>> add_content(std::string bytes) override {
    return submission_.add_content(std::move(bytes));
  }
  [[nodiscard]] net::Task<Result<clients::CleanupResult>> finish(clients::CleanupEnd end) override {
    return submission_.finish(std::move(end));
  }

 private:
  clients::Submission submission_;
};

}  // namespace

Result<std::uint64_t> free_bytes_in(const std::string& directory) {
  struct statvfs space{};
  if (::statvfs(directory.c_str(), &space) != 0) { return errno_failure("statvfs " + directory); }
  return static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
}

ProcessServices::ProcessServices(net::EventLoop& loop, const config::Snapshot& config,
                                 std::unique_ptr<dns::Resolver> resolver, TlsPtr tls, AnvilReporter::KeepBusy keep_busy,
                                 std::string service_name)
    : resolver_(std::move(resolver)),
      tls_(std::move(tls)),
      rewrite_(loop, config),
      cleanup_(loop, config),
      flush_(loop, config),
      anvil_(loop, config, tasks_, std::move(keep_busy), std::move(service_name)),
      tasks_(loop, "smtpd reports", 1) {}

net::Task<Result<clients::ResolveReply>> ProcessServices::resolve(std::string sender, std::string recipient) {
  return rewrite_.resolve(std::move(sender), std::move(recipient));
}

net::Task<dns::Answer> ProcessServices::dns(std::string name, dns::Type type) {
  return resolver_->lookup(std::move(name), type, within(kNameLookupTime));
}

net::Task<> ProcessServices::sleep(std::chrono::seconds time) {
  [[maybe_unused]] const auto slept = co_await net::sleep_until(within(time));
}

net::Task<Services::Opened> ProcessServices::open_message(clients::CleanupOpen request) {
  auto opened = co_await cleanup_.open(std::move(request));
  if (!opened) { co_return std::unexpected(opened.error()); }
  co_return Opened(std::make_unique<QueueSink>(std::move(*opened)));
}

net::Task<dns::ClientName> ProcessServices::client_name(net::IpAddress address) {
  return resolver_->client_name(address, within(kNameLookupTime));
}

net::Task<Result<clients::FlushReply::Status>> ProcessServices::flush_site(std::string site) {
  return flush_.ask({.what = clients::FlushRequest::What::send_site, .site = std::move(site), .queue_id = {}});
}

void ProcessServices::count(clients::AnvilEvent::What event, const std::string& client_address) {
  anvil_.report(event, client_address);
}

}  // namespace stagepost::smtpd
