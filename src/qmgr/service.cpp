#include "qmgr/service.hpp"

#include "clients/qmgr.hpp"
#include "net/buffered_stream.hpp"
#include "qmgr/manager.hpp"

namespace stagepost::qmgr {
namespace {

struct Prepared {
  ServiceLimits limits;
  queue::journal::BootId boot_id{};
};

/// How long running deliveries may still report before a successor takes over. What they did is marked in the queue
/// file whether they report or not.
constexpr std::chrono::seconds kFarewell{2};
/// How long the end of the mail system waits for cleanup to empty its journals. Both fit into master's patience.
constexpr std::chrono::seconds kJournalFarewell{4};

net::Task<> read_triggers(Manager& manager, net::AcceptedConnection connection, daemon::SessionContext& session) {
  net::BufferedStream stream(std::move(connection.stream));
  clients::QmgrTriggerParser parser;
  for (;;) {
    const auto ready = co_await session.wait_request(stream, Deadline::never());
    if (!ready) { co_return; }
    const auto bytes = co_await stream.peek(within(std::chrono::seconds(10)));
    if (!bytes) { co_return; }
    std::vector<clients::QmgrTrigger> triggers;
    parser.feed(*bytes, triggers);
    stream.consume(bytes->size());
    if (!triggers.empty()) { manager.act_on(triggers); }
  }
}

}  // namespace

Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& /*tables*/) {
  SP_TRY(auto limits, read_service_limits(config));
  return std::any(Prepared{std::move(limits), queue::journal::read_boot_id()});
}

net::Task<Result<>> serve(daemon::Context& context) {
  auto prepared = std::any_cast<Prepared>(context.prepared());
  auto settings = Settings::from(context.config(), std::move(prepared.limits));
  if (!settings) { co_return std::unexpected(settings.error()); }
  settings->boot_id = prepared.boot_id;
  Manager manager(context.loop(), std::move(*settings));
  const auto recovered = co_await manager.recover();
  if (!recovered) { co_return recovered; }
  manager.start();
  const auto busy = context.keep_busy();
  context.on_wakeup([&manager] { manager.act_on({{clients::qmgr_trigger::kWakeup, {}}}); });
  Result<> served;
  if (context.service_type() == "fifo") {
    daemon::TriggerHandler handler = [&manager](std::string bytes) -> net::Task<> {
      std::vector<clients::QmgrTrigger> triggers;
      clients::QmgrTriggerParser().feed(bytes, triggers);
      manager.act_on(triggers);
      co_return;
    };
    served = co_await context.serve_triggers(std::move(handler));
  } else {
    daemon::SessionHandler handler = [&manager](net::AcceptedConnection connection, daemon::SessionContext& session) {
      return read_triggers(manager, std::move(connection), session);
    };
    served = co_await context.serve_sessions(std::move(handler));
  }
  co_await manager.stop(kFarewell);
  if (context.shutting_down()) { co_await manager.empty_journal(kJournalFarewell); }
  co_return served;
}

}  // namespace stagepost::qmgr
