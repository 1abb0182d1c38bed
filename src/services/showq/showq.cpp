#include "services/showq/showq.hpp"

#include "clients/queue_listing.hpp"
#include "delivery/listing_memory.hpp"
#include "delivery/queue_lister.hpp"
#include "log/log.hpp"
#include "net/event.hpp"
#include "queue/hashing_settings.hpp"

namespace stagepost::showq {
namespace {

/// Sent at a time; the client's pace decides how fast the queue is walked.
constexpr std::size_t kSendOctets = 64 * 1024;
/// Of what earlier listings told. A message with one recipient takes 300 to 400 octets.
constexpr std::size_t kMemoryOctets = 32 * 1024 * 1024;

net::Task<Result<>> send_listing(net::Stream& client, const config::Snapshot& config, delivery::ListingMemory& memory) {
  const auto timeout = config.seconds("ipc_timeout");
  delivery::QueueLister lister(queue::QueueDirectory(".", queue::hashing(config)), &memory);
  clients::ShowqWriter writer;
  bool more = true;
  while (more) {
    SP_CO_TRY(more, lister.step(writer));
    if (!more) { writer.finish(); }
    if (more && writer.buffer().size() < kSendOctets) { continue; }
    const std::string bytes = std::exchange(writer.buffer(), {});
    const auto sent = co_await client.write_all(bytes, within(timeout));
    if (!sent) { co_return sent; }
    // A write that never waits must not keep other clients waiting.
    co_await net::yield_now();
  }
  co_return Result<>{};
}

net::Task<> serve_client(net::AcceptedConnection connection, daemon::SessionContext& session,
                         delivery::ListingMemory& memory) {
  const config::SnapshotPtr config = session.config();
  const auto sent = co_await send_listing(*connection.stream, *config, memory);
  // A reader that has seen enough ("mailq | head") is no reason for a warning.
  const bool gone = !sent && (sent.error().is(std::errc::broken_pipe) || sent.error().is(std::errc::connection_reset) ||
                              sent.error().is(std::errc::operation_canceled));
  if (!sent && !gone) { log::warning("listing: {}", sent.error().message()); }
}

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  delivery::ListingMemory memory(kMemoryOctets);
  auto served =
      co_await context.serve_sessions([&memory](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return serve_client(std::move(connection), session, memory);
      });
  co_return served;
}

}  // namespace stagepost::showq
