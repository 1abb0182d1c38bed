#include "ipc/client_pool.hpp"

#include <algorithm>

#include "log/log.hpp"
#include "net/event.hpp"
#include "net/socket_stream.hpp"

namespace stagepost::ipc {

ClientPool::ClientPool(net::EventLoop& loop, std::string path, Limits limits)
    : loop_(loop), path_(std::move(path)), limits_(limits) {}

ClientPool::Lease::Lease(ClientPool& pool, std::unique_ptr<Channel> channel, SteadyClock::time_point opened,
                         bool reused)
    : pool_(&pool), channel_(std::move(channel)), opened_(opened), reused_(reused) {}

void ClientPool::Lease::release() {
  pool_->drop_expired();
  pool_->idle_.push_back({std::move(channel_), opened_, SteadyClock::now()});
  if (pool_->idle_.size() > pool_->limits_.idle_connections) { pool_->idle_.pop_front(); }
}

void ClientPool::drop_expired() {
  const auto now = SteadyClock::now();
  std::erase_if(
      idle_, [&](const Idle& idle) { return now - idle.since > limits_.idle_time || now - idle.opened > limits_.age; });
}

net::Task<Result<ClientPool::Lease>> ClientPool::acquire(Deadline deadline) {
  drop_expired();
  while (!idle_.empty()) {
    Idle idle = std::move(idle_.back());
    idle_.pop_back();
    if (!idle.channel->stale()) { co_return Lease(*this, std::move(idle.channel), idle.opened, true); }
  }
  auto pause = std::chrono::milliseconds(10);
  bool warned = false;
  for (;;) {
    auto stream = co_await net::connect_unix(loop_, path_, deadline);
    if (stream) { co_return Lease(*this, std::make_unique<Channel>(std::move(*stream)), SteadyClock::now(), false); }
    const Error& error = stream.error();
    const bool starting = error.is(std::errc::no_such_file_or_directory) || error.is(std::errc::connection_refused);
    if (!starting || deadline.passed()) { co_return std::unexpected(error); }
    if (!warned && pause > std::chrono::milliseconds(500)) {
      log::warning("connect to {}: {}", path_, error.message());
      warned = true;
    }
    const auto slept = co_await net::sleep_until(Deadline::earlier(deadline, within(pause)));
    if (!slept) { co_return std::unexpected(slept.error()); }
    pause = std::min(pause * 2, std::chrono::milliseconds(1000));
  }
}

}  // namespace stagepost::ipc
