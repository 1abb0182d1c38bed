#include "cleanup/cleanup/service.hpp"

#include "cleanup/cleanup/message.hpp"
#include "clients/cleanup.hpp"
#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "net/error.hpp"
#include "queue/hashing_settings.hpp"

namespace stagepost::cleanup {
namespace {

using clients::CleanupResult;

queue::MessageCommitter open_committer(daemon::Context& context) {
  const config::Snapshot& config = *context.config();
  if (!config.boolean("queue_journal")) { return queue::MessageCommitter(context.loop()); }
  queue::journal::Journal::Options options;
  options.boot_id = std::any_cast<queue::journal::BootId>(context.prepared());
  return queue::MessageCommitter(context.loop(), queue::QueueDirectory(".", queue::hashing(config)),
                                 std::move(options));
}

Result<std::unique_ptr<Shared>> make_shared_state(daemon::Context& context) {
  const config::Snapshot& config = *context.config();
  const maps::OpenContext& open = context.tables();
  SP_TRY(auto aliases, maps::Chain::open("virtual_alias_maps", config.text("virtual_alias_maps"), open));
  SP_TRY(auto local, maps::LocalDomains::create(config, open));
  return std::unique_ptr<Shared>(new Shared{.loop = context.loop(),
                                            .settings = Settings::from(config),
                                            .directory = queue::QueueDirectory(".", queue::hashing(config)),
                                            .nursery = queue::Nursery("."),
                                            .committer = open_committer(context),
                                            .virtual_alias_maps = std::move(aliases),
                                            .local_domains = std::move(local),
                                            .rewrite = clients::RewriteClient(context.loop(), config),
                                            .bounce = clients::BounceClient(context.loop(), config),
                                            .qmgr = clients::QmgrClient(context.loop(), config)});
}

/// One message of the connection. False: the connection is unusable.
net::Task<bool> take_message(Shared& shared, ipc::Channel& channel, clients::CleanupOpen open,
                             std::chrono::seconds timeout) {
  auto created = co_await Message::create(shared, std::move(open));
  clients::CleanupOpened opened;
  if (created) {
    opened.queue_id = (*created)->queue_id();
  } else {
    opened.text = created.error().message();
    opened.full = created.error().is(std::errc::no_space_on_device);
    log::warning("queue file: {}", opened.text);
  }
  const auto told = co_await channel.send(opened, within(timeout));
  if (!told) { co_return false; }
  if (!created) { co_return true; }
  shared.committer.prepare();
  Message& message = **created;
  for (;;) {
    const auto frame = co_await channel.receive(within(timeout));
    if (!frame) {
      // The client vanished before End: nothing was accepted, the file goes with `created`.
      if (frame.error().code != net::Errc::end_of_stream) {
        log::warning("{}: {}", message.queue_id(), frame.error().message());
      }
      co_return false;
    }
    if (frame->is<clients::CleanupContent>()) {
      const auto content = frame->as<clients::CleanupContent>();
      if (!content) { co_return false; }
      co_await message.add_content(content->bytes);
    } else if (frame->is<clients::CleanupRecipients>()) {
      auto recipients = frame->as<clients::CleanupRecipients>();
      if (!recipients) { co_return false; }
      co_await message.add_recipients(std::move(recipients->recipients));
    } else if (frame->is<clients::CleanupEnd>()) {
      auto end = frame->as<clients::CleanupEnd>();
      if (!end) { co_return false; }
      CleanupResult result{.status = CleanupResult::Status::aborted};
      if (end->commit) { result = co_await message.finish(std::move(*end)); }
      const auto sent = co_await channel.send(result, within(timeout));
      // The client first: the queue manager begins to work at once, and may be given this CPU for it.
      co_await message.announce();
      co_return sent.has_value();
    } else {
      log::warning("{}: unexpected message type {}", message.queue_id(), frame->type);
      co_return false;
    }
  }
}

net::Task<> serve_client(net::AcceptedConnection connection, daemon::SessionContext& session, Shared& shared) {
  ipc::Channel channel(std::move(connection.stream));
  const auto timeout = session.config()->seconds("ipc_timeout");
  for (;;) {
    const auto ready = co_await session.wait_request(channel, Deadline::never());
    if (!ready) { co_return; }
    auto open = co_await channel.receive_as<clients::CleanupOpen>(within(timeout));
    if (!open) {
      if (open.error().code != net::Errc::end_of_stream) { log::warning("request: {}", open.error().message()); }
      co_return;
    }
    const bool usable = co_await take_message(shared, channel, std::move(*open), timeout);
    if (!usable) { co_return; }
  }
}

}  // namespace

Result<std::any> prepare(const config::Snapshot& /*config*/, const maps::OpenContext& /*open*/) {
  return std::any(queue::journal::read_boot_id());
}

net::Task<Result<>> serve(daemon::Context& context) {
  auto shared = make_shared_state(context);
  if (!shared) { co_return std::unexpected(shared.error()); }
  Shared& state = **shared;
  auto served =
      co_await context.serve_sessions([&state](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return serve_client(std::move(connection), session, state);
      });
  co_return served;
}

}  // namespace stagepost::cleanup
