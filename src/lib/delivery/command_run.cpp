#include "delivery/command_run.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/deadline.hpp"
#include "base/sys.hpp"
#include "log/log.hpp"

namespace stagepost::delivery {
namespace {

struct Pipe {
  unique_fd read_end, write_end;
  static Result<Pipe> create() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) { return errno_failure("pipe"); }
    return Pipe{unique_fd(fds[0]), unique_fd(fds[1])};
  }
};

/// What the child could not do, through a pipe that closes when the program starts.
struct ChildFailure {
  enum class Step : int { none, root_directory, identity, directory, execute } step = Step::none;
  int error = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (const std::string& string : strings) { all.push_back(const_cast<char*>(string.c_str())); }
  all.push_back(nullptr);
  return all;
}

/// After fork, until exec: only what is async-signal-safe, on memory that was made before.
struct Child {
  const CommandPlan& plan;
  std::vector<char*> arguments, environment;
  int input, output, report;

  [[noreturn]] void fail(ChildFailure::Step step) const {
    const ChildFailure failure{step, errno};
    [[maybe_unused]] const auto told = ::write(report, &failure, sizeof failure);
    ::_exit(EX_TEMPFAIL);
  }

  [[noreturn]] void run() const {
    ::setsid();
    for (int number = 1; number < NSIG; ++number) { ::signal(number, SIG_DFL); }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::sched_getscheduler(0) == SCHED_BATCH) {  // a daemon's choice for itself
      const sched_param no_priority{};
      ::sched_setscheduler(0, SCHED_OTHER, &no_priority);
    }
    if (::dup2(input, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 || ::dup2(output, STDERR_FILENO) < 0) {
      fail(ChildFailure::Step::execute);
    }
    if (!plan.chroot_directory.empty() && (::chroot(plan.chroot_directory.c_str()) != 0 || ::chdir("/") != 0)) {
      fail(ChildFailure::Step::root_directory);
    }
    become_user();
    if (!plan.directory.empty() && ::chdir(plan.directory.c_str()) != 0) { fail(ChildFailure::Step::directory); }
    ::umask(077);
    // Now the program is looked for in the PATH the command gets.
    ::environ = const_cast<char**>(environment.data());
    ::execvp(arguments[0], arguments.data());
    fail(ChildFailure::Step::execute);
  }

  void become_user() const {
    if (::geteuid() != 0) { return; }
    const auto& [uid, gid] = plan.identity;
    // The bare system calls: those of libc wake other threads, which do not exist here.
    if (::syscall(SYS_setgroups, 1, &gid) != 0 || ::syscall(SYS_setresgid, gid, gid, gid) != 0 ||
        ::syscall(SYS_setresuid, uid, uid, uid) != 0 || ::syscall(SYS_setuid, 0) == 0) {
      fail(ChildFailure::Step::identity);
    }
  }
};

/// The running command: writes to it never block without its output being read, and never past the deadline.
class Command final : public ContentTarget {
 public:
  Command(pid_t pid, unique_fd pid_fd, unique_fd input, unique_fd output, const CommandPlan& plan)
      : pid_(pid),
        pid_fd_(std::move(pid_fd)),
        input_(std::move(input)),
        output_(std::move(output)),
        deadline_(within(plan.time_limit)),
        output_octets_(plan.output_octets) {}
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() override {
    if (pid_ > 0) {
      kill_group();
      reap();
    }
  }

  Result<> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const auto done = ::write(input_.get(), bytes.data(), bytes.size());
      if (done > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(done));
      } else if (errno == EPIPE) {
        return errno_failure(EPIPE, "command");
      } else if (errno != EAGAIN && errno != EINTR) {
        return errno_failure("write to command");
      } else if (!wait(POLLOUT)) {
        timed_out_ = true;
        return errno_failure(EPIPE, "command");
      }
    }
    return {};
  }

  /// Gives it the message and waits for its end.
  Result<CommandEnd> communicate(const FeedMessage& feed) {
    SP_TRY(sys::set_nonblocking(input_.get()));
    SP_TRY(sys::set_nonblocking(output_.get()));
    auto fed = feed(*this);
    if (!fed && !fed.error().is(std::errc::broken_pipe)) { return std::unexpected(std::move(fed.error())); }
    return finish();
  }

  /// Waits for the end of the process.
  CommandEnd finish() {
    input_.reset();
    while (!timed_out_ && !ended_) { timed_out_ = !wait(0); }
    if (timed_out_) { kill_group(); }
    reap();
    drain();
    return {status_, timed_out_, std::move(output_text_)};
  }

 private:
  /// Until input can be written (`events`), or output came, or the process ended. False: time is up.
  bool wait(short events) {
    std::array<pollfd, 3> fds{pollfd{output_open_ ? output_.get() : -1, POLLIN, 0}, pollfd{pid_fd_.get(), POLLIN, 0},
                              pollfd{events != 0 ? input_.get() : -1, events, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_.at() - SteadyClock::now());
    if (left.count() <= 0) { return false; }
    const int timeout = static_cast<int>(std::min<std::chrono::milliseconds::rep>(left.count() + 1, 1'000'000));
    if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) { return false; }
    if (fds[0].revents != 0) { drain(); }
    if (fds[1].revents != 0) { ended_ = true; }
    return !deadline_.passed();
  }

  /// Takes what output there is; keeps the first part.
  void drain() {
    std::array<char, 4096> buffer{};
    // A program that writes without end must not keep us here: the deadline is looked at between two buffers.
    while (output_open_ && !deadline_.passed()) {
      const auto got = ::read(output_.get(), buffer.data(), buffer.size());
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) { output_open_ = false; }
      if (got <= 0) { return; }
      const std::size_t room = output_octets_ - std::min(output_octets_, output_text_.size());
      output_text_.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
    }
  }

  void kill_group() const {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
  }
  void reap() {
    while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {}
    pid_ = -1;
  }

  pid_t pid_;
  unique_fd pid_fd_, input_, output_;
  Deadline deadline_;
  std::size_t output_octets_;
  std::string output_text_;
  int status_ = 0;
  bool output_open_ = true;
  bool ended_ = false;
  bool timed_out_ = false;
};

std::string describe(const ChildFailure& failure, const CommandPlan& plan) {
  using Step = ChildFailure::Step;
  const std::string reason = std::generic_category().message(failure.error);
  const auto& [uid, gid] = plan.identity;
  switch (failure.step) {
    case Step::root_directory:
      return fmt::format("cannot change root to \"{}\": {}", plan.chroot_directory, reason);
    case Step::identity:
      return fmt::format("cannot become uid={} gid={}: {}", uid, gid, reason);
    case Step::directory:
      return fmt::format("cannot change directory to \"{}\" for uid={} gid={}: {}", plan.directory, uid, gid, reason);
    case Step::execute:
    case Step::none:
      break;
  }
  return fmt::format("execvp {}: {}", plan.arguments.front(), reason);
}

}  // namespace

Result<CommandEnd> run_command(const CommandPlan& plan, const FeedMessage& feed) {
  SP_ASSERT(!plan.arguments.empty());
  if (::geteuid() == 0 && plan.identity.uid == 0) {
    return failure("refusing to run a command with root's rights", std::errc::operation_not_permitted);
  }
  SP_TRY(Pipe input, Pipe::create());
  SP_TRY(Pipe output, Pipe::create());
  SP_TRY(Pipe report, Pipe::create());
  const Child child{plan,
                    pointers(plan.arguments),
                    pointers(plan.environment),
                    input.read_end.get(),
                    output.write_end.get(),
                    report.write_end.get()};
  const pid_t pid = ::fork();
  if (pid < 0) { return errno_failure("fork"); }
  if (pid == 0) { child.run(); }
  input.read_end.reset();
  output.write_end.reset();
  report.write_end.reset();
  unique_fd pid_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const bool watched = static_cast<bool>(pid_fd);
  Command command(pid, std::move(pid_fd), std::move(input.write_end), std::move(output.read_end), plan);
  if (!watched) { return errno_failure("pidfd_open"); }

  ChildFailure failed;
  const auto told = sys::read(report.read_end.get(), {reinterpret_cast<char*>(&failed), sizeof failed});
  if (told && *told == sizeof failed) {
    const std::string text = describe(failed, plan);
    log::warning("{}", text);
    CommandEnd end = command.finish();
    end.output = "fatal: " + text + "\n";
    return end;
  }
  return command.communicate(feed);
}

}  // namespace stagepost::delivery
