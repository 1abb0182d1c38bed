#include "services/flush/service.hpp"

#include "clients/flush.hpp"
#include "clients/qmgr.hpp"
#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "mail/hostname.hpp"
#include "maps/match_list.hpp"
#include "net/blocking.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "queue/hashing_settings.hpp"
#include "services/flush/site_log.hpp"

namespace stagepost::flush {
namespace {

using clients::FlushReply;
using clients::FlushRequest;
using Status = FlushReply::Status;

/// How long an addition waits for a log that is being sent.
constexpr std::chrono::seconds kLockTime{10};
constexpr std::chrono::milliseconds kLockRetry{50};

/// What came of sending a log; the first error of a message counts, the others are sent all the same.
struct Sent {
  std::size_t released = 0;
  Result<> result;
};

/// Runs on the thread pool.
Sent send(const queue::QueueDirectory& directory, const queue::QueueId& log) {
  Sent sent;
  Result<> messages;
  sent.result = send_log(directory, log, [&](const queue::QueueId& id) {
    const auto moved = release(directory, id);
    if (!moved && messages) { messages = std::unexpected(moved.error()); }
    if (moved && *moved) { ++sent.released; }
  });
  if (sent.result) { sent.result = std::move(messages); }
  return sent;
}

bool is_locked(const Error& error) { return error.is(std::errc::resource_unavailable_try_again); }

class Service {
 public:
  Service(daemon::Context& context, const config::Snapshot& config, maps::MatchList domains)
      : loop_(context.loop()),
        domains_(std::move(domains)),
        directory_(".", queue::hashing(config)),
        qmgr_(context.loop(), config),
        limits_{.refresh_time = config.seconds("fast_flush_refresh_time"),
                .purge_time = config.seconds("fast_flush_purge_time")},
        background_(context.background()) {}

  net::Task<> serve_client(net::AcceptedConnection connection, daemon::SessionContext& session) {
    ipc::Channel channel(std::move(connection.stream));
    const auto timeout = session.config()->seconds("ipc_timeout");
    for (;;) {
      const auto ready = co_await session.wait_request(channel, Deadline::never());
      if (!ready) { co_return; }
      auto request = co_await channel.receive_as<FlushRequest>(within(timeout));
      if (!request) {
        if (request.error().code != net::Errc::end_of_stream) {
          log::warning("request: {}", request.error().message());
        }
        co_return;
      }
      FlushReply reply;
      reply.status = co_await handle(std::move(*request));
      const auto sent = co_await channel.send(reply, within(timeout));
      if (!sent) { co_return; }
    }
  }

  /// In the background; a second one waits for its turn at the next wakeup.
  void start_refresh(bool all) {
    if (refreshing_ || background_.full()) { return; }
    refreshing_ = true;
    background_.spawn(refresh(all));
  }

 private:
  net::Task<Status> handle(FlushRequest request) {
    switch (request.what) {
      case FlushRequest::What::add:
      case FlushRequest::What::send_site: {
        const bool literal = mail::parse_address_literal(request.site).has_value();
        const auto log = log_name(request.site);
        if (!log || (!literal && !mail::is_valid_hostname(request.site))) { co_return Status::bad; }
        maps::MatchList::Subject subject;
        subject.name = request.site;
        const auto listed = co_await domains_.matches(std::move(subject));
        if (!listed) {
          log::warning("{}", listed.error().message());
          co_return Status::failed;
        }
        if (!*listed) { co_return Status::unknown; }
        if (request.what == FlushRequest::What::send_site) {
          const Status sent = co_await send_site(*log);
          co_return sent;
        }
        const auto id = queue::QueueId::parse(request.queue_id);
        if (!id) { co_return Status::bad; }
        const Status added = co_await add(*log, *id);
        co_return added;
      }
      case FlushRequest::What::send_file: {
        const auto id = queue::QueueId::parse(request.queue_id);
        if (!id) { co_return Status::bad; }
        const Status sent = co_await send_file(*id);
        co_return sent;
      }
      case FlushRequest::What::purge:
        start_refresh(true);
        co_return Status::ok;
      case FlushRequest::What::refresh:
        start_refresh(false);
        co_return Status::ok;
    }
    co_return Status::bad;
  }

  net::Task<Status> add(queue::QueueId log, queue::QueueId id) {
    const Deadline deadline = within(kLockTime);
    for (;;) {
      const auto added = add_to_log(directory_, log, id);
      if (added) { co_return Status::ok; }
      if (!is_locked(added.error()) || deadline.passed()) {
        log::warning("{}: {}", id.str(), added.error().message());
        co_return Status::failed;
      }
      const auto slept = co_await net::sleep_until(within(kLockRetry));
      if (!slept) { co_return Status::failed; }
    }
  }

  net::Task<Status> send_site(queue::QueueId log) {
    // A log may be long: renames by the thousand are not for the event loop.
    const Sent sent = co_await net::run_blocking(loop_, [directory = directory_, log] { return send(directory, log); });
    if (!sent.result && is_locked(sent.result.error())) {
      // Someone else is sending the same log: what was asked for happens.
      co_return Status::ok;
    }
    if (sent.released > 0) { co_await wake_qmgr(); }
    if (!sent.result) {
      log::warning("{}", sent.result.error().message());
      co_return Status::failed;
    }
    co_return Status::ok;
  }

  net::Task<Status> send_file(queue::QueueId id) {
    const auto moved = release(directory_, id);
    if (!moved) {
      log::warning("{}: {}", id.str(), moved.error().message());
      co_return Status::failed;
    }
    // Whoever asks for a message that is not deferred has what he wants, or nothing can be done.
    if (*moved) { co_await wake_qmgr(); }
    co_return Status::ok;
  }

  /// Also forgets that destinations did not answer: someone knows that they do now.
  net::Task<> wake_qmgr() {
    const std::string letters{clients::qmgr_trigger::kFlushDeferred, clients::qmgr_trigger::kScanIncoming};
    const auto told = co_await qmgr_.trigger(letters);
    if (!told) { log::debug("qmgr: {}", told.error().message()); }
  }

  net::Task<> refresh(bool all) {
    queue::QueueScan scan(directory_, queue::QueueName::flush);
    for (;;) {
      const auto entry = scan.next();
      if (!entry) {
        log::warning("{}", entry.error().message());
        break;
      }
      if (!*entry) { break; }
      const auto log = queue::QueueId::parse((*entry)->name);
      if (!log) { continue; }
      const UpkeepLimits limits =
          all ? UpkeepLimits{.refresh_time = std::chrono::seconds(0), .purge_time = std::chrono::seconds(0)} : limits_;
      const auto what = upkeep(directory_, *log, limits, std::chrono::system_clock::now());
      if (what && *what == Upkeep::send) { [[maybe_unused]] const Status sent = co_await send_site(*log); }
      if (what && *what == Upkeep::remove) {
        const auto removed = remove_empty_log(directory_, *log);
        if (!removed && !is_locked(removed.error())) { log::warning("{}", removed.error().message()); }
      }
      const bool cancelled = co_await net::cancelled();
      if (cancelled) { break; }
    }
    refreshing_ = false;
  }

  net::EventLoop& loop_;
  maps::MatchList domains_;
  queue::QueueDirectory directory_;
  clients::QmgrClient qmgr_;
  UpkeepLimits limits_;
  net::TaskGroup& background_;
  bool refreshing_ = false;
};

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  const config::SnapshotPtr config = context.config();
  const auto parents = maps::parent_style(config->text("parent_domain_matches_subdomains"), "fast_flush_domains");
  auto domains = maps::MatchList::create("fast_flush_domains", config->text("fast_flush_domains"),
                                         {.style = maps::MatchStyle::domains, .parents = parents}, context.tables());
  if (!domains) { co_return std::unexpected(domains.error()); }
  Service service(context, *config, std::move(*domains));
  context.on_wakeup([&service] { service.start_refresh(false); });
  auto served =
      co_await context.serve_sessions([&service](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return service.serve_client(std::move(connection), session);
      });
  co_await context.background().cancel_and_join();
  co_return served;
}

}  // namespace stagepost::flush
