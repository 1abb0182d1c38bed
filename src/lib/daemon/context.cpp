// The process's relation to master: status messages, idle exit, drain, shutdown. Accepting clients is in serve.cpp.
#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

#include "base/defer.hpp"
#include "daemon/context_impl.hpp"
#include "log/batch.hpp"
#include "log/log.hpp"

namespace stagepost::daemon {

using ipc::StatusMessage;
using ipc::Verb;

namespace {

Kind effective_kind(const Options& options, const Arguments& arguments) {
  return options.single_at_limit_one && arguments.limit_one ? Kind::single : options.kind;
}

std::uint64_t use_limit(const Options& options, Kind kind, const config::Snapshot& config) {
  if (options.lifetime == Lifetime::resident) { return 0; }
  // max_use is meant for a process with one client at a time. One that serves a thousand side by side would come to its
  // end every few moments, so the number counts for each place a client can have.
  const auto places = kind == Kind::pooled ? config.integer("process_session_limit") : 1;
  return static_cast<std::uint64_t>(config.integer("max_use")) *
         static_cast<std::uint64_t>(std::max<std::int64_t>(places, 1));
}

net::Task<Result<>> wait_bytes(net::BufferedStream& stream, Deadline deadline) {
  const auto peeked = co_await stream.peek(deadline);
  if (!peeked) { co_return std::unexpected(peeked.error()); }
  co_return Result<>{};
}

}  // namespace

Context::Impl::Impl(const Options& program, Arguments parsed, config::SnapshotPtr normal, config::SnapshotPtr stressed,
                    ipc::Scoreboard scoreboard, std::vector<unique_fd> sockets, maps::OpenContext table_context)
    : options(program),
      arguments(std::move(parsed)),
      normal_config(std::move(normal)),
      stress_config(std::move(stressed)),
      board(std::move(scoreboard)),
      status(ipc::kStatusFd),
      listeners(std::move(sockets)),
      loop(program.blocking_threads),
      tables(std::move(table_context)),
      gate(effective_kind(program, arguments), board.page().quota.load(),
           use_limit(program, effective_kind(program, arguments), *normal_config)),
      changed(loop),
      line_collected(loop),
      background(loop, std::string(program.name) + " background", SIZE_MAX),
      acceptors(loop, std::string(program.name) + " accept", SIZE_MAX),
      session_tasks(loop, std::string(program.name) + " session", SIZE_MAX),
      control(loop, std::string(program.name) + " control", SIZE_MAX) {
  tables.loop = &loop;
}

void Context::Impl::start_control(Context&) {
  std::uint32_t flags = options.overlap ? ipc::kHelloOverlap : 0;
  flags |= options.lifetime == Lifetime::resident ? ipc::kHelloResident : 0;
  send(ipc::make_hello(effective_kind(options, arguments), flags));
  board.page().pid.store(static_cast<std::uint32_t>(::getpid()));
  board.page().started_unix.store(static_cast<std::uint64_t>(::time(nullptr)));
  control.spawn(read_status());
  if (options.lifetime == Lifetime::on_demand) { control.spawn(watch_idle()); }
  control.spawn(watchdog(normal_config->seconds("daemon_timeout")));
  control.spawn(send_log_lines());
}

bool Context::Impl::idle() const {
  return gate.active() == 0 && busy == 0 && triggers.empty() && background.size() == 0;
}

void Context::Impl::send(const StatusMessage& message) {
  const ipc::StatusPacket packet = ipc::encode(message);
  // Master reads promptly and the messages are few; an error means it is gone, which read_status() will see.
  static_cast<void>(::send(status.get(), packet.data(), packet.size(), MSG_NOSIGNAL));
}

void Context::Impl::publish() {
  for (const StatusMessage& message : gate.take_messages()) { send(message); }
  auto& page = board.page();
  page.sessions.store(gate.active());
  page.accepted.store(gate.accepted());
  page.retiring.store(gate.retiring() ? 1 : 0);
  if (!idle()) {
    idle_since = SteadyClock::time_point::max();
  } else if (idle_since == SteadyClock::time_point::max()) {
    idle_since = SteadyClock::now();
  }
  if (stopped()) { acceptors.cancel(); }
  changed.notify_all();
}

void Context::Impl::begin_drain() {
  if (draining) { return; }
  draining = true;
  gate.retire();
  close_idle_sessions();
  publish();
  if (on_drain) { on_drain(); }
}

void Context::Impl::begin_shutdown() {
  if (shutting_down) { return; }
  shutting_down = true;
  begin_drain();
  if (on_shutdown) { on_shutdown(); }
  control.spawn(end_sessions_after_grace());
}

net::Task<> Context::Impl::end_sessions_after_grace() {
  const auto slept = co_await net::sleep_until(within(kShutdownGrace));
  if (slept) {
    session_tasks.cancel();
    background.cancel();
  }
}

net::Task<> Context::Impl::read_status() {
  net::Readiness readiness(loop, status.get());
  for (;;) {
    const auto readable = co_await readiness.wait(Deadline::never());
    if (!readable) { co_return; }
    if (!read_status_messages()) {
      // Master is gone: serve whom we serve, then follow it.
      begin_drain();
      leaving = true;
      publish();
      co_return;
    }
  }
}

bool Context::Impl::read_status_messages() {
  for (;;) {
    std::array<char, ipc::kStatusMessageBytes + 1> buffer{};
    const ssize_t got = ::recv(status.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) { return true; }
    if (got <= 0) { return false; }
    const auto message =
        ipc::decode(std::span<const char>(buffer.data(), static_cast<std::size_t>(got)), ipc::Sender::master);
    if (!message) {
      log::warning("{}", message.error().message());
      return false;
    }
    handle(*message);
  }
}

void Context::Impl::handle(const StatusMessage& message) {
  switch (message.verb) {
    case Verb::quota:
      gate.set_quota(message.value);
      board.page().quota.store(message.value);
      if (on_quota) { on_quota(message.value); }
      break;
    case Verb::stress:
      stress = message.value != 0;
      board.page().stress.store(stress ? 1 : 0);
      break;
    case Verb::contended:
      contended = message.value != 0;
      break;
    case Verb::drain:
      begin_drain();
      break;
    case Verb::shutdown:
      begin_shutdown();
      break;
    case Verb::go:
      leaving = asking;
      break;
    case Verb::stay:
      asking = false;
      idle_since = SteadyClock::now();
      break;
    case Verb::wakeup:
      if (takes_triggers) {
        add_trigger("W");
      } else if (on_wakeup) {
        on_wakeup();
      }
      break;
    default:
      break;
  }
  publish();
}

void Context::Impl::add_trigger(std::string bytes) {
  // Triggers say "look again": one that waits already says it, so a flood costs nothing.
  const bool known = std::find(triggers.begin(), triggers.end(), bytes) != triggers.end();
  if (!known && triggers.size() < kPendingTriggers) { triggers.push_back(std::move(bytes)); }
  publish();
}

net::Task<> Context::Impl::watch_idle() {
  const auto max_idle = normal_config->seconds("max_idle");
  while (!stopped()) {
    const bool counting = idle() && !asking;
    const auto now = SteadyClock::now();
    if (counting && idle_since != SteadyClock::time_point::max() && now - idle_since >= max_idle) {
      asking = true;
      send({.verb = Verb::idle});
      continue;
    }
    const bool timed = counting && idle_since != SteadyClock::time_point::max();
    const auto woken = co_await changed.wait(timed ? Deadline(idle_since + max_idle) : Deadline::never());
    if (!woken && !woken.error().is(std::errc::timed_out)) { co_return; }
  }
}

net::Task<> Context::Impl::watchdog(std::chrono::seconds timeout) {
  // SIGALRM's default action ends a process whose loop has not come round for daemon_timeout; master reports it.
  const auto limit = static_cast<unsigned>(std::clamp<std::int64_t>(timeout.count(), 3, 1'000'000'000));
  for (;;) {
    ::alarm(limit);
    const auto slept = co_await net::sleep_until(within(std::chrono::seconds(limit / 3)));
    if (!slept) {
      ::alarm(0);
      co_return;
    }
  }
}

net::Task<> Context::Impl::send_log_lines() {
  for (;;) {
    while (!lines_wait) {
      const auto woken = co_await line_collected.wait(Deadline::never());
      if (!woken) { co_return; }
    }
    // One timer for all lines of these milliseconds. What is logged from here on asks again.
    lines_wait = false;
    const auto slept = co_await net::sleep_until(within(log::kCollectTime));
    log::flush();
    if (!slept) { co_return; }
  }
}

bool Context::Impl::someone_idle() const {
  return std::any_of(sessions.begin(), sessions.end(), [](const SessionContext* session) { return session->waits(); });
}

bool Context::Impl::evict_one() {
  SessionContext* oldest = nullptr;
  for (SessionContext* session : sessions) {
    if (session->waits() && (oldest == nullptr || session->idle_since_ < oldest->idle_since_)) { oldest = session; }
  }
  if (oldest == nullptr) { return false; }
  oldest->evict();
  return true;
}

void Context::Impl::close_idle_sessions() {
  for (SessionContext* session : sessions) {
    if (session->waits()) { session->evict(); }
  }
}

// SessionContext

bool SessionContext::shutting_down() const { return context_->impl_->shutting_down; }
bool SessionContext::draining() const { return context_->impl_->draining; }
bool SessionContext::waits() const { return idle_in_ != nullptr && !evicted_; }

void SessionContext::evict() {
  evicted_ = true;
  idle_in_->cancel();
}

net::Task<Result<>> SessionContext::wait_request(ipc::Channel& channel, Deadline deadline) {
  auto ready = co_await while_idle(channel.io(), channel.wait_input(deadline));
  co_return ready;
}

net::Task<Result<>> SessionContext::wait_request(net::BufferedStream& stream, Deadline deadline) {
  auto ready = co_await while_idle(stream, wait_bytes(stream, deadline));
  co_return ready;
}

net::Task<Result<>> SessionContext::while_idle(net::BufferedStream& stream, net::Task<Result<>> wait) {
  if (draining() && stream.buffered().empty()) {
    co_return failure("the process drains", std::errc::operation_canceled);
  }
  idle_in_ = &stream;
  evicted_ = false;
  idle_since_ = SteadyClock::now();
  // A client that waits for a place may take this one now.
  context_->impl_->changed.notify_all();
  auto ready = co_await std::move(wait);
  idle_in_ = nullptr;
  if (!ready && evicted_) { co_return failure("closed in favour of another client", std::errc::operation_canceled); }
  co_return ready;
}

// Context

Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;

const config::SnapshotPtr& Context::config() const {
  return impl_->stress ? impl_->stress_config : impl_->normal_config;
}
net::EventLoop& Context::loop() { return impl_->loop; }
const maps::OpenContext& Context::tables() const { return impl_->tables; }
const std::string& Context::service_name() const { return impl_->arguments.service_name; }
const std::string& Context::service_type() const { return impl_->arguments.service_type; }
const std::vector<std::string>& Context::arguments() const { return impl_->arguments.rest; }
const config::SnapshotPtr& Context::stress_config() const { return impl_->stress_config; }
bool Context::in_chroot() const { return impl_->arguments.chroot && ::getuid() == 0; }
std::any& Context::prepared() { return impl_->prepared; }
bool Context::stress() const { return impl_->stress; }
bool Context::draining() const { return impl_->draining; }
bool Context::shutting_down() const { return impl_->shutting_down; }
net::TaskGroup& Context::background() { return impl_->background; }

void Context::count(std::size_t slot, std::uint64_t by) {
  impl_->board.page().counters.at(slot).fetch_add(by, std::memory_order_relaxed);
}

std::shared_ptr<void> Context::keep_busy() {
  ++impl_->busy;
  impl_->publish();
  return {nullptr, [impl = impl_.get()](void*) {
            --impl->busy;
            impl->publish();
          }};
}

void Context::on_drain(std::function<void()> hook) { impl_->on_drain = std::move(hook); }
void Context::on_shutdown(std::function<void()> hook) { impl_->on_shutdown = std::move(hook); }
void Context::on_wakeup(std::function<void()> hook) { impl_->on_wakeup = std::move(hook); }
void Context::on_quota(std::function<void(std::uint32_t sessions)> hook) {
  hook(impl_->board.page().quota.load());
  impl_->on_quota = std::move(hook);
}

}  // namespace stagepost::daemon
