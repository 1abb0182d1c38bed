// The life of one child: started, heard, answered, buried.
#include <array>
#include <cerrno>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/core.h>

#include "log/log.hpp"
#include "master/child.hpp"
#include "master/supervisor.hpp"

extern char** environ;

namespace stagepost::master {

using ipc::Verb;

namespace {

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

}  // namespace

bool Supervisor::start_child(Service& service) {
  const std::uint32_t quota = service.pool.next_quota();
  if (quota == 0) { return false; }
  // Running out of descriptors or processes is not the program's fault: try again after fork_delay.
  const auto failed = [&](const Error& error) {
    log::warning("cannot start {}: {}", service.program, error.message());
    service.throttle.hold(SteadyClock::now() + main_cf_->seconds("fork_delay"));
    arm_throttle(service);
    return false;
  };
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return failed(errno_failure("socketpair").error());
  }
  Child child{.service = &service, .program = service.program, .status = unique_fd(pair[0])};
  const unique_fd child_end(pair[1]);
  child.keeps_log = service.entry.type == config::ServiceType::unix_dgram && service.entry.name == "postlog";
  auto board = ipc::Scoreboard::create();
  if (!board) { return failed(board.error()); }
  board->page().quota.store(quota);
  const auto status_watch = child.status.get();
  tell(child, {.verb = Verb::quota, .value = quota});
  if (service.stress) { tell(child, {.verb = Verb::stress, .value = 1}); }
  ChildDescriptors descriptors{.status = child_end.get(), .scoreboard = board->fd(), .listeners = {}};
  for (const unique_fd& fd : service.listeners) { descriptors.listeners.push_back(fd.get()); }
  const auto arguments = child_arguments(service.entry, {.maxproc = service.pool.limits().maxproc,
                                                         .listeners = service.listeners.size(),
                                                         .verbosity = options_.verbosity,
                                                         .debug = options_.debug});
  const auto started = spawn(service.program, arguments, child_environment(*main_cf_, own_environment()), descriptors,
                             options_.reopen_log);
  if (!started) { return failed(started.error()); }
  const pid_t pid = *started;
  board->close_fd();
  child.board = std::move(*board);
  children_.emplace(pid, std::move(child));
  service.pool.child_started(pid, quota);
  if (auto watched = reactor_.watch(status_watch, [this, pid] { read_status(pid); }); !watched) {
    log::error("{}", watched.error().message());
    ::kill(pid, SIGKILL);
  }
  return true;
}

void Supervisor::tell(Child& child, const ipc::StatusMessage& message) {
  if (!child.status) { return; }
  const ipc::StatusPacket packet = ipc::encode(message);
  // A child that does not read its few messages has hung; its watchdog or ours will end it. Never wait for it.
  if (::send(child.status.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EPIPE) {
    log::warning("{}: cannot send a status message: {}", child.program, errno_failure("send").error().message());
  }
}

void Supervisor::close_status(Child& child) {
  if (child.status) {
    reactor_.unwatch(child.status.get());
    child.status.reset();
  }
}

void Supervisor::read_status(pid_t pid) {
  // Bounded per turn, so that a child that floods its socket does not keep master from the others.
  for (int count = 0; count < 64; ++count) {
    const auto found = children_.find(pid);
    if (found == children_.end() || !found->second.status) { return; }
    Child& child = found->second;
    std::array<char, ipc::kStatusMessageBytes + 1> buffer{};
    const ssize_t got = ::recv(child.status.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) { break; }
    if (got <= 0) {
      close_status(child);
      break;
    }
    const auto message =
        ipc::decode(std::span<const char>(buffer.data(), static_cast<std::size_t>(got)), ipc::Sender::child);
    if (!message) {
      log::warning("process {} pid {}: {}", child.program, pid, message.error().message());
      close_status(child);
      break;
    }
    handle(pid, child, *message);
  }
  if (const auto found = children_.find(pid); found != children_.end() && found->second.service != nullptr) {
    update(*found->second.service);
  }
}

void Supervisor::handle(pid_t pid, Child& child, const ipc::StatusMessage& message) {
  if (message.verb == Verb::hello) { child.greeted = true; }
  if (child.service == nullptr) { return; }
  if (!child.service->pool.child_said(pid, message)) {
    log::warning("process {} pid {}: status message out of turn", child.program, pid);
    close_status(child);
    return;
  }
  if (message.verb == Verb::idle) { answer_idle(pid, child); }
}

void Supervisor::answer_idle(pid_t pid, Child& child) {
  Service& service = *child.service;
  // It no longer accepts, so a client that waits now would have to wait for a new process.
  if (!stopping_ && has_waiting_client(service)) {
    tell(child, {.verb = Verb::stay});
    return;
  }
  service.pool.child_dismissed(pid);
  tell(child, {.verb = Verb::go});
}

void Supervisor::shut_down(pid_t pid, Child& child) {
  tell(child, {.verb = Verb::shutdown});
  // A program that does not speak with us would not hear that. A logger does, and may have started just now.
  if (!child.greeted && !child.keeps_log) { ::kill(pid, SIGTERM); }
}

void Supervisor::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) { break; }
    child_died(pid, status);
  }
  if (stopping_) { continue_stop(); }
}

void Supervisor::child_died(pid_t pid, int wait_status) {
  // What it said last may still be unread.
  read_status(pid);
  const auto found = children_.find(pid);
  if (found == children_.end()) {
    return;  // adopted as process 1
  }
  Child child = std::move(found->second);
  children_.erase(found);
  if (child.status) { reactor_.unwatch(child.status.get()); }
  const Death death{.exit_status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0,
                    .signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0,
                    .greeted = child.greeted,
                    .sessions_done = child.board ? child.board->page().completed.load() : 0};
  if (death.signal != 0) {
    log::warning("process {} pid {} killed by signal {}", child.program, pid, death.signal);
  } else if (death.exit_status != 0) {
    log::warning("process {} pid {} exit status {}", child.program, pid, death.exit_status);
  }
  if (child.service == nullptr) { return; }
  Service& service = *child.service;
  service.pool.child_exited(pid);
  if (!stopping_ && service.throttle.child_died(death, SteadyClock::now())) {
    log::warning("{}: bad command startup -- throttling", child.program);
    arm_throttle(service);
  }
  update(service);
}

}  // namespace stagepost::master
