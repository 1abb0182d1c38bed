#include "clients/cleanup.hpp"

#include "clients/endpoint.hpp"

namespace stagepost::clients {
namespace {
constexpr std::size_t kSendBytes = 64 * 1024;
constexpr std::size_t kChunkBytes = 256 * 1024;
}  // namespace

CleanupClient::CleanupClient(net::EventLoop& loop, const config::Snapshot& config)
    : pool_(loop, public_endpoint(config, "cleanup_service_name"), pool_limits(config)),
      timeout_(config.seconds("ipc_timeout")) {}

net::Task<std::expected<Submission, CleanupRefusal>> CleanupClient::open(CleanupOpen request) {
  using Refused = std::unexpected<CleanupRefusal>;
  const Deadline deadline = within(timeout_);
  for (;;) {
    auto lease = co_await pool_.acquire(deadline);
    if (!lease) { co_return Refused(CleanupRefusal{lease.error().message(), false}); }
    const auto opened = co_await (*lease)->call<CleanupOpened>(request, deadline);
    if (opened && !opened->queue_id.empty()) { co_return Submission(std::move(*lease), opened->queue_id, timeout_); }
    if (opened) {
      lease->release();
      co_return Refused(CleanupRefusal{opened->text, opened->full});
    }
    // Nothing was accepted yet, so a connection that cleanup had closed meanwhile is simply replaced.
    if (!lease->reused()) { co_return Refused(CleanupRefusal{opened.error().message(), false}); }
  }
}

net::Task<Result<>> Submission::send_if_large() {
  if (lease_->unsent_bytes() < kSendBytes) { co_return Result<>{}; }
  auto flushed = co_await lease_->flush(within(timeout_));
  co_return flushed;
}

net::Task<Result<>> Submission::add_recipients(std::vector<RecipientRecord> recipients) {
  // In slices, so that no message comes near the IPC limit.
  std::size_t bytes = 0;
  CleanupRecipients slice;
  for (auto& recipient : recipients) {
    bytes += recipient.address.size() + recipient.original.size() + recipient.dsn_original.size() + 32;
    slice.recipients.push_back(std::move(recipient));
    if (bytes >= kChunkBytes) {
      lease_->queue(slice);
      slice.recipients.clear();
      bytes = 0;
      const auto sent = co_await send_if_large();
      if (!sent) { co_return sent; }
    }
  }
  if (!slice.recipients.empty()) { lease_->queue(slice); }
  auto sent = co_await send_if_large();
  co_return sent;
}

net::Task<Result<>> Submission::add_content(std::string bytes) {
  if (bytes.size() <= kChunkBytes) {
    lease_->queue(CleanupContent{std::move(bytes)});
    auto sent = co_await send_if_large();
    co_return sent;
  }
  for (std::size_t start = 0; start < bytes.size(); start += kChunkBytes) {
    lease_->queue(CleanupContent{bytes.substr(start, kChunkBytes)});
    const auto sent = co_await send_if_large();
    if (!sent) { co_return sent; }
  }
  co_return Result<>{};
}

net::Task<Result<CleanupResult>> Submission::end(CleanupEnd end) {
  auto result = co_await lease_->call<CleanupResult>(end, within(timeout_));
  if (result) { lease_.release(); }
  co_return result;
}

net::Task<Result<CleanupResult>> Submission::abort() { return end({.commit = false}); }

}  // namespace stagepost::clients
