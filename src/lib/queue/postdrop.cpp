#include "queue/postdrop.hpp"

#include <array>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include <utility>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::queue {
namespace {

struct Pipe {
  unique_fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) { return errno_failure("pipe"); }
  return Pipe{unique_fd(fds[0]), unique_fd(fds[1])};
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> chunk;
  while (text.size() < 64 * 1024) {
    const auto n = sys::read(fd, chunk);
    if (!n || *n == 0) { break; }
    text.append(chunk.data(), *n);
  }
  return text;
}

}  // namespace

Postdrop::Postdrop(pid_t pid, unique_fd input, unique_fd output, unique_fd error)
    : pid_(pid), input_(std::move(input)), output_(std::move(output)), error_(std::move(error)) {}

Postdrop::Postdrop(Postdrop&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_text_(std::move(other.output_text_)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      error_(std::move(other.error_)) {}

Postdrop::~Postdrop() {
  if (pid_ > 0) {
    input_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
}

Result<Postdrop> Postdrop::start(const std::string& program, const std::vector<std::string>& arguments) {
  SP_TRY(Pipe input, make_pipe());
  SP_TRY(Pipe output, make_pipe());
  SP_TRY(Pipe error, make_pipe());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.read_end.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, error.write_end.get(), STDERR_FILENO);
  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) { argv.push_back(word.data()); }
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) { return errno_failure(failed, "execute " + program); }
  return Postdrop(pid, std::move(input.write_end), std::move(output.read_end), std::move(error.read_end));
}

Result<std::string> Postdrop::wait_id() {
  std::array<char, 256> chunk;
  while (output_text_.find('\n') == std::string::npos) {
    const auto n = sys::read(output_.get(), chunk);
    if (!n) { return std::unexpected(n.error()); }
    if (*n == 0) {
      const Outcome outcome = finish();
      return failure(outcome.error.empty() ? "postdrop failed" : outcome.error, std::errc::io_error);
    }
    output_text_.append(chunk.data(), *n);
  }
  return std::string(text::trim(std::string_view(output_text_).substr(0, output_text_.find('\n'))));
}

void Postdrop::give_up() {
  if (pid_ <= 0) { return; }
  // A set-group-ID program of the same user takes our signals; it removes its file first.
  ::kill(pid_, SIGTERM);
  input_.reset();
  ::waitpid(std::exchange(pid_, -1), nullptr, 0);
}

bool Postdrop::write(std::string_view records) { return sys::write_all(input_.get(), records).has_value(); }

Postdrop::Outcome Postdrop::finish() {
  input_.reset();
  Outcome outcome;
  outcome.queue_id = text::trim(output_text_ + read_all(output_.get()));
  outcome.error = text::trim(read_all(error_.get()));
  constexpr std::string_view kPrefix = "postdrop: fatal: ";
  if (const auto at = outcome.error.rfind(kPrefix); at != std::string::npos) {
    outcome.error.erase(0, at + kPrefix.size());
  }
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : EX_TEMPFAIL;
  return outcome;
}

}  // namespace stagepost::queue
