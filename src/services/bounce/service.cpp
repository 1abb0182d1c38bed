#include "services/bounce/service.hpp"

#include "base/sys.hpp"
#include "clients/endpoint.hpp"
#include "delivery/report_log.hpp"
#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "net/blocking.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "queue/hashing_settings.hpp"
#include "queue/lock.hpp"
#include "services/bounce/reporter.hpp"

namespace stagepost::bounce {
namespace {

using clients::BounceFlush;
using clients::ReportLog;

/// How long an append waits for a process that holds the log's lock.
constexpr std::chrono::seconds kLockTime{10};
constexpr std::chrono::milliseconds kLockRetry{50};

class LogEntries final : public Entries {
 public:
  explicit LogEntries(delivery::ReportLogReader reader) : reader_(std::move(reader)) {}
  Result<> rewind() override { return reader_.rewind(); }
  Result<std::optional<clients::RecipientReport>> next() override { return reader_.next(); }

 private:
  delivery::ReportLogReader reader_;
};

class Service {
 public:
  Service(daemon::Context& context, const config::Snapshot& config)
      : loop_(context.loop()),
        directory_(".", queue::hashing(config)),
        reporter_(context.loop(), config, directory_),
        log_(which_log(context, config)),
        queue_(log_ == ReportLog::bounce  ? queue::QueueName::bounce
               : log_ == ReportLog::defer ? queue::QueueName::defer
                                          : queue::QueueName::trace),
        readable_(config.boolean("backwards_bounce_logfile_compatibility") ? delivery::ReadableLine::yes
                                                                           : delivery::ReadableLine::no) {}

  net::Task<> serve_client(net::AcceptedConnection connection, daemon::SessionContext& session) {
    ipc::Channel channel(std::move(connection.stream));
    const auto timeout = session.config()->seconds("ipc_timeout");
    for (;;) {
      const auto ready = co_await session.wait_request(channel, Deadline::never());
      if (!ready) { co_return; }
      const auto frame = co_await channel.receive(within(timeout));
      if (!frame) {
        if (frame.error().code != net::Errc::end_of_stream) { log::warning("request: {}", frame.error().message()); }
        co_return;
      }
      const auto done = co_await handle(*frame);
      clients::Ack ack{.ok = done.has_value()};
      if (!done) { ack.text = done.error().message(); }
      const auto sent = co_await channel.send(ack, within(timeout));
      if (!sent || (!done && done.error().is(std::errc::bad_message))) { co_return; }
    }
  }

 private:
  static ReportLog which_log(const daemon::Context& context, const config::Snapshot& config) {
    const std::string& name = context.service_name();
    if (name == config.text("defer_service_name")) { return ReportLog::defer; }
    if (name == config.text("trace_service_name")) { return ReportLog::trace; }
    return ReportLog::bounce;
  }

  net::Task<Result<>> handle(const ipc::Frame& frame) {
    // The frame's bytes are gone after the first wait: each request is decoded before it.
    if (frame.is<clients::BounceAppend>()) {
      auto request = frame.as<clients::BounceAppend>();
      if (!request) { co_return std::unexpected(request.error()); }
      auto done = co_await append(std::move(*request));
      co_return done;
    }
    if (frame.is<BounceFlush>()) {
      auto request = frame.as<BounceFlush>();
      if (!request) { co_return std::unexpected(request.error()); }
      auto done = co_await flush(std::move(*request));
      co_return done;
    }
    if (frame.is<clients::BounceOne>()) {
      auto request = frame.as<clients::BounceOne>();
      if (!request) { co_return std::unexpected(request.error()); }
      ListedEntries entries({std::move(request->report)});
      auto done = co_await reporter_.report(Subject::failure, request->message, entries);
      co_return done;
    }
    co_return failure("unexpected message type", std::errc::bad_message);
  }

  net::Task<Result<>> append(clients::BounceAppend request) {
    const auto id = queue::QueueId::parse(request.queue_id);
    if (!id) { co_return failure("bad queue ID", std::errc::bad_message); }
    const std::string path = directory_.path(queue_, *id);
    const Deadline deadline = within(kLockTime);
    for (;;) {
      auto appended = delivery::append_entry(path, request.report, readable_);
      if (!appended && appended.error().is(std::errc::no_such_file_or_directory)) {
        const auto made = directory_.make_hash_path(queue_, *id);
        if (!made) { co_return made; }
        appended = delivery::append_entry(path, request.report, readable_);
      }
      const bool locked = !appended && appended.error().is(std::errc::resource_unavailable_try_again);
      if (!locked || deadline.passed()) {
        // What the defer log tells about is still in the queue; who is in the others is about to be marked as done.
        if (appended && log_ != ReportLog::defer) {
          const auto synced = co_await net::run_blocking(loop_, [path] { return delivery::sync_log(path); });
          appended = synced;
        }
        if (!appended) { log::warning("{}: {}", request.queue_id, appended.error().message()); }
        co_return appended;
      }
      const auto slept = co_await net::sleep_until(within(kLockRetry));
      if (!slept) { co_return slept; }
    }
  }

  net::Task<Result<>> flush(BounceFlush request) {
    const auto id = queue::QueueId::parse(request.message.queue_id);
    if (!id) { co_return failure("bad queue ID", std::errc::bad_message); }
    const std::string path = directory_.path(queue_, *id);
    if (request.what == BounceFlush::What::drop) { co_return remove(path); }
    if (log_ == ReportLog::defer && request.what == BounceFlush::What::report) {
      const auto complete = complete_log(request, path);
      if (!complete) { co_return complete; }
    }
    auto reader = delivery::ReportLogReader::open(path);
    if (!reader) {
      if (!reader.error().is(std::errc::no_such_file_or_directory)) { co_return std::unexpected(reader.error()); }
      auto done = co_await report_without_log(std::move(request));
      co_return done;
    }
    // Held until the log is gone, so that nothing is added that no report would mention.
    SP_CO_TRY(queue::try_lock(reader->fd()));
    LogEntries entries(std::move(*reader));
    const Subject subject = subject_of(request);
    const auto reported = co_await reporter_.report(subject, request.message, entries);
    if (!reported || subject == Subject::delay) { co_return reported; }
    co_return remove(path);
  }

  /// A deferral whose entry could not be written (full disk, killed process) is owed to the sender as well when the
  /// message's time is over: what the queue file still holds and the log does not name is added to the log.
  Result<> complete_log(const BounceFlush& request, const std::string& path) {
    if (!delivery::ReportLogReader::open(path)) { return {}; }  // no log at all: report_without_log
    SP_TRY(const auto expired, reporter_.expired_recipients(request.message));
    return delivery::append_missing_entries(path, expired, readable_);
  }

  /// The bounce and trace logs exist when there is something to say. A message whose time is over must not go without a
  /// word because its defer log was lost.
  net::Task<Result<>> report_without_log(BounceFlush request) {
    if (log_ != ReportLog::defer || request.what != BounceFlush::What::report) { co_return Result<>{}; }
    auto expired = reporter_.expired_recipients(request.message);
    if (!expired) { co_return std::unexpected(expired.error()); }
    ListedEntries entries(std::move(*expired));
    auto done = co_await reporter_.report(Subject::failure, request.message, entries);
    co_return done;
  }

  [[nodiscard]] Subject subject_of(const BounceFlush& request) const {
    if (request.what == BounceFlush::What::warning) { return Subject::delay; }
    if (log_ != ReportLog::trace) { return Subject::failure; }
    return reporter_.wants_every_outcome(request.message) ? Subject::requested : Subject::success;
  }

  static Result<> remove(const std::string& path) {
    auto removed = sys::unlink(path);
    if (!removed && removed.error().is(std::errc::no_such_file_or_directory)) { return {}; }
    return removed;
  }

  net::EventLoop& loop_;
  queue::QueueDirectory directory_;
  Reporter reporter_;
  ReportLog log_;
  queue::QueueName queue_;
  delivery::ReadableLine readable_;
};

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  const config::SnapshotPtr config = context.config();
  Service service(context, *config);
  auto served =
      co_await context.serve_sessions([&service](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return service.serve_client(std::move(connection), session);
      });
  co_return served;
}

}  // namespace stagepost::bounce
