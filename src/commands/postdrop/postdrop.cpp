#include "commands/postdrop/postdrop.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <pwd.h>
#include <signal.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "config/log_settings.hpp"
#include "config/setgid_command.hpp"
#include "config/snapshot.hpp"
#include "log/log.hpp"
#include "maps/user_list.hpp"
#include "queue/hashing_settings.hpp"
#include "queue/maildrop_format.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::postdrop {
namespace {

/// Ends the program from any depth of run().
struct Fatal {
  int status;
  std::string text;
};

// What a signal handler must remove: set before the file can be seen, cleared when it is complete.
char g_unfinished[512] = "";

void on_signal(int signal_number) {
  if (g_unfinished[0] != '\0') { ::unlink(g_unfinished); }
  ::_exit(128 + signal_number);
}

std::string user_name() {
  const passwd* entry = ::getpwuid(::getuid());
  return entry != nullptr ? entry->pw_name : "unknown";
}

void check_user(const config::SnapshotPtr& config) {
  // The default: nothing to look up, not even the user.
  if (config->text("authorized_submit_users") == "static:anyone") { return; }
  const std::string user = user_name();
  const auto allowed = maps::user_is_listed(config, "authorized_submit_users", user);
  if (!allowed) {
    log::warning("{}", allowed.error().message());
    throw Fatal{EX_TEMPFAIL, "cannot look up authorized_submit_users"};
  }
  if (!*allowed) { throw Fatal{EX_NOPERM, fmt::format("User {}({}) is not allowed to submit mail", user, ::getuid())}; }
}

/// Whole records from standard input.
class RecordInput {
 public:
  explicit RecordInput(std::size_t limit) : limit_(limit) {}

  /// nullopt at the end of input between two records.
  std::optional<queue::RecordView> next() {
    start_ += used_;
    used_ = 0;
    for (;;) {
      const auto parsed = queue::parse_record(std::string_view(buffer_).substr(start_), limit_);
      if (parsed) {
        used_ = parsed->octets;
        return parsed->record;
      }
      if (parsed.error() != queue::RecordError::incomplete) { throw Fatal{EX_DATAERR, "malformed input"}; }
      if (start_ > 0) {
        buffer_.erase(0, start_);
        start_ = 0;
      }
      std::array<char, 65536> chunk;
      const auto n = sys::read(STDIN_FILENO, chunk);
      if (!n) { throw Fatal{EX_TEMPFAIL, "input: " + n.error().message()}; }
      if (*n == 0) {
        if (!buffer_.empty()) { throw Fatal{EX_DATAERR, "malformed input: ends within a record"}; }
        return std::nullopt;
      }
      buffer_.append(chunk.data(), *n);
    }
  }

 private:
  std::size_t limit_;
  std::string buffer_;
  std::size_t start_ = 0;
  std::size_t used_ = 0;
};

/// pickup scans at its wakeups anyway; this makes it now. A mail system that is down is no error.
void wake_pickup(const config::Snapshot& config) {
  const std::string path = "public/" + config.text("pickup_service_name");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) { return; }
  path.copy(address.sun_path, path.size());
  const unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) { return; }
  [[maybe_unused]] const auto sent = ::send(socket.get(), "W", 1, MSG_NOSIGNAL);
}

void store(const config::Snapshot& config) {
  const auto limit = static_cast<std::uint64_t>(config.integer("message_size_limit"));
  const queue::QueueDirectory directory(".", queue::hashing(config));
  auto writer = queue::MessageWriter::create(directory, queue::QueueName::maildrop,
                                             {.id_style = queue::id_style(config), .complete_mode = 0744});
  if (!writer) { throw Fatal{EX_TEMPFAIL, "queue file: " + writer.error().message()}; }
  std::strncpy(g_unfinished, writer->path().c_str(), sizeof g_unfinished - 1);

  // Told at once, for a caller that names it in a header (smtpd -S); the exit status says what became of the file.
  fmt::print("{}\n", writer->id().str());
  if (std::fflush(stdout) != 0) { throw Fatal{EX_TEMPFAIL, "cannot report the queue ID"}; }
  writer->append(queue::RecordType::time, queue::format_time(writer->created()));
  RecordInput input(queue::kRecordLimitBytes);
  queue::SubmissionCheck check;
  for (;;) {
    const auto record = input.next();
    if (!record) { throw Fatal{EX_DATAERR, "malformed input: no end record"}; }
    // The time of arrival is ours to say.
    if (record->type == queue::RecordType::time) { continue; }
    const auto verdict = check.check(*record);
    if (verdict == queue::SubmissionCheck::Verdict::refuse) {
      throw Fatal{EX_DATAERR, "malformed input: " + std::string(check.reason())};
    }
    if (verdict == queue::SubmissionCheck::Verdict::drop) { continue; }
    writer->append(record->type, record->data);
    if (limit > 0 && static_cast<std::uint64_t>(writer->offset()) > limit) {
      throw Fatal{EX_UNAVAILABLE, "message file too big"};
    }
    if (verdict == queue::SubmissionCheck::Verdict::finish) { break; }
  }
  const auto committed = writer->commit(queue::CommitPolicy::fsync_each());
  if (!committed) { throw Fatal{EX_TEMPFAIL, "queue file: " + committed.error().message()}; }
  g_unfinished[0] = '\0';
}

int drop(int argc, char** argv) {
  std::string config_directory;
  bool verbose = false;
  for (int option = 0; (option = ::getopt(argc, argv, "c:rv")) != -1;) {
    switch (option) {
      case 'c':
        config_directory = ::optarg;
        break;
      case 'r':
        break;  // report the outcome on standard output, which is what this program always does
      case 'v':
        verbose = true;
        break;
      default:
        throw Fatal{EX_USAGE, "usage: postdrop [-c config_dir] [-v] [-r]"};
    }
  }
  if (::optind != argc) { throw Fatal{EX_USAGE, "usage: postdrop [-c config_dir] [-v] [-r]"}; }
  auto trusted = config::trusted_config_directory(config_directory);
  if (!trusted) { throw Fatal{EX_NOPERM, trusted.error().context}; }
  config_directory = std::move(*trusted);
  config::clean_environment();
  const auto config = config::Snapshot::load(
      {.config_directory = config_directory, .process_name = "postdrop", .check = config::LoadOptions::Check::yes});
  if (!config) { throw Fatal{EX_TEMPFAIL, config.error().message()}; }
  log::open(config::log_settings(**config, "postdrop", verbose && !config::is_setgid()));
  const std::string& queue_directory = (*config)->text("queue_directory");
  if (::chdir(queue_directory.c_str()) != 0) {
    throw Fatal{EX_TEMPFAIL, "chdir " + queue_directory + ": " + std::strerror(errno)};
  }
  check_user(*config);
  store(**config);
  wake_pickup(**config);
  return EX_OK;
}

}  // namespace

int run(int argc, char** argv) {
  ::umask(022);
  // The three standard descriptors exist, so that no queue file becomes one of them.
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) { return EX_OSERR; }
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  for (const int signal_number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGPIPE, SIGXFSZ}) {
    ::sigaction(signal_number, &action, nullptr);
  }
  try {
    return drop(argc, argv);
  } catch (const Fatal& fatal) {
    if (g_unfinished[0] != '\0') { ::unlink(g_unfinished); }
    fmt::print(stderr, "postdrop: fatal: {}\n", fatal.text);
    if (log::opened()) { log::warning("uid={}: {}", ::getuid(), fatal.text); }
    return fatal.status;
  }
}

}  // namespace stagepost::postdrop
