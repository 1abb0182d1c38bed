#include "services/anvil/service.hpp"

#include <algorithm>
#include <cerrno>
#include <signal.h>
#include <sys/socket.h>

#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "net/event.hpp"
#include "net/task_group.hpp"
#include "services/anvil/counters.hpp"

namespace stagepost::anvil {
namespace {

/// The process at the other end of a UNIX socket, as the kernel knows it.
int peer_process(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials.pid : 0;
}

/// Connections that a killed smtpd left open would count against their clients for ever.
void forget_dead_processes(Counters& counters) {
  for (const int process : counters.processes()) {
    if (::kill(process, 0) != 0 && errno == ESRCH) { counters.forget_process(process); }
  }
}

net::Task<> serve_client(net::AcceptedConnection connection, daemon::SessionContext& session, Counters& counters) {
  const int process = peer_process(connection.stream->native_handle());
  ipc::Channel channel(std::move(connection.stream));
  for (;;) {
    const auto ready = co_await session.wait_request(channel, Deadline::never());
    if (!ready) { break; }
    const auto request = co_await channel.receive_as<clients::AnvilRequest>(within(std::chrono::seconds(30)));
    if (!request) { break; }
    if (request->events.empty() || request->events.size() > clients::AnvilRequest::kMaxEvents) { break; }
    clients::AnvilReply reply;
    const auto now = SteadyClock::now();
    for (const auto& event : request->events) {
      reply = counters.count(event.what, request->service, event.client, process, now);
    }
    const auto sent = co_await channel.send(reply, within(std::chrono::seconds(30)));
    if (!sent) { break; }
  }
  forget_dead_processes(counters);
}

void log_statistics(Counters& counters) {
  for (const std::string& line : counters.take_statistics()) { log::info("{}", line); }
}

net::Task<> housekeeping(Counters& counters, std::chrono::seconds status_interval) {
  auto next_status = SteadyClock::now() + status_interval;
  const auto pause = std::min(status_interval, std::chrono::seconds(30));
  for (;;) {
    const auto slept = co_await net::sleep_until(within(pause));
    if (!slept) { co_return; }
    forget_dead_processes(counters);
    counters.expire(SteadyClock::now());
    if (SteadyClock::now() >= next_status) {
      log_statistics(counters);
      next_status += status_interval;
    }
  }
}

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  const config::Snapshot& config = *context.config();
  Counters counters(config.seconds("anvil_rate_time_unit"));
  // Not in the context's group, whose tasks are work: with this one there the process would never be idle.
  net::TaskGroup timers(context.loop(), "anvil timers", 1);
  timers.spawn(housekeeping(counters, config.seconds("anvil_status_update_time")));
  auto served =
      co_await context.serve_sessions([&counters](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return serve_client(std::move(connection), session, counters);
      });
  co_await timers.cancel_and_join();
  log_statistics(counters);
  co_return served;
}

}  // namespace stagepost::anvil
