// See the header.
#include "master/reactor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace stagepost::master {

Result<Reactor> Reactor::create(std::initializer_list<int> signals) {
  Reactor reactor;
  reactor.epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!reactor.epoll_) { return errno_failure("epoll_create1"); }
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int signal : signals) { ::sigaddset(&wanted, signal); }
  if (::sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) { return errno_failure("sigprocmask"); }
  reactor.signal_fd_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!reactor.signal_fd_) { return errno_failure("signalfd"); }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = reactor.signal_fd_.get();
  if (::epoll_ctl(reactor.epoll_.get(), EPOLL_CTL_ADD, reactor.signal_fd_.get(), &event) != 0) {
    return errno_failure("epoll_ctl");
  }
  return reactor;
}

void Reactor::restore_signals_in_child() {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGCHLD, SIGPIPE, SIGALRM, SIGABRT, SIGQUIT}) {
    ::signal(signal, SIG_DFL);
  }
  // Not the inherited mask: a parent that blocked SIGTERM must not make our daemons immune to it.
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<> Reactor::watch(int fd, std::function<void()> ready) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) { return errno_failure("epoll_ctl"); }
  watched_[fd] = std::move(ready);
  return {};
}

void Reactor::unwatch(int fd) {
  if (watched_.erase(fd) > 0) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }
}

Reactor::TimerId Reactor::at(SteadyClock::time_point when, std::function<void()> fire) {
  const TimerId id = next_timer_++;
  timers_.emplace(when, Timer{.id = id, .fire = std::move(fire)});
  return id;
}

void Reactor::cancel(TimerId timer) {
  std::erase_if(timers_, [timer](const auto& entry) { return entry.second.id == timer; });
}

int Reactor::wait_milliseconds(SteadyClock::duration longest_wait) const {
  auto wait = longest_wait;
  if (!timers_.empty()) { wait = std::min(wait, timers_.begin()->first - SteadyClock::now()); }
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 1'000'000));
}

void Reactor::run_timers() {
  const auto now = SteadyClock::now();
  while (!timers_.empty() && timers_.begin()->first <= now && !stopped_) {
    auto node = timers_.extract(timers_.begin());
    node.mapped().fire();
  }
}

void Reactor::read_signals() {
  signalfd_siginfo info{};
  while (::read(signal_fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (signalled_) { signalled_(static_cast<int>(info.ssi_signo)); }
  }
}

Result<> Reactor::run(SteadyClock::duration longest_wait, const std::function<void()>& each_turn) {
  std::array<epoll_event, 64> events{};
  while (!stopped_) {
    each_turn();
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_milliseconds(longest_wait));
    if (count < 0 && errno != EINTR) { return errno_failure("epoll_wait"); }
    for (int i = 0; i < count && !stopped_; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == signal_fd_.get()) {
        read_signals();
        continue;
      }
      // An earlier handler of this round may have stopped watching this descriptor.
      if (const auto found = watched_.find(fd); found != watched_.end()) {
        const auto ready = found->second;
        ready();
      }
    }
    run_timers();
  }
  return {};
}

}  // namespace stagepost::master
