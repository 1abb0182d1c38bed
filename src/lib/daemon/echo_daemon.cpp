// A daemon for the tests of master: answers each line with the number of its process, the line and what master
// said about stress and drain. "crash" aborts the process, "hang" stops its loop, "work" makes it wait for a second
// line. Arguments in master.cf choose how it behaves: "kind=isolated", "kind=single", "resident", "plain" (never gives
// up an idle client), "fail".
#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/sys.hpp"
#include "daemon/daemon.hpp"
#include "log/batch.hpp"
#include "log/log.hpp"

namespace stagepost::daemon {
namespace {

/// What the sandbox leaves: the errno of each forbidden thing, 0 where it worked.
std::string attempts(const std::string& path) {
  const auto outcome = [](long result) { return result < 0 ? errno : 0; };
  const unique_fd inet(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int no_inet = outcome(inet.get());
  char* const argv[] = {nullptr};
  const int no_exec = outcome(::execve("/nonexistent", argv, argv));
  const unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const int no_write = outcome(file.get());
  const unique_fd emptied(::open(path.c_str(), O_RDONLY | O_TRUNC | O_CLOEXEC));
  const int no_emptying = outcome(emptied.get());
  const int no_truncation = outcome(::truncate(path.c_str(), 0));
  const int no_root = outcome(::setuid(0));
  return fmt::format("inet={} exec={} write={} empty={} truncate={} root={}", no_inet, no_exec, no_write, no_emptying,
                     no_truncation, no_root);
}

net::Task<> echo(net::AcceptedConnection connection, SessionContext& session, Context& context) {
  net::BufferedStream stream(std::move(connection.stream));
  const bool plain =
      std::find(context.arguments().begin(), context.arguments().end(), "plain") != context.arguments().end();
  for (;;) {
    if (!plain) {
      const auto idle = co_await session.wait_request(stream, within(std::chrono::seconds(60)));
      if (!idle) { break; }
    }
    const auto line = co_await stream.read_line(1000, within(std::chrono::seconds(60)));
    if (!line) { break; }
    if (line->text == "crash") { std::abort(); }
    while (line->text == "hang") { ::pause(); }
    if (line->text == "work") {
      // Busy in the middle of a request: drain and eviction must not touch it.
      const auto more = co_await stream.read_line(1000, within(std::chrono::seconds(60)));
      if (!more) { break; }
    }
    if (line->text.starts_with("try ")) {
      const std::string tried = fmt::format("{} {}\n", ::getpid(), attempts(std::string(line->text.substr(4))));
      const auto told = co_await stream.write(tried, within(std::chrono::seconds(10)));
      const auto all = co_await stream.flush(within(std::chrono::seconds(10)));
      if (!told || !all) { break; }
      continue;
    }
    const std::string reply =
        fmt::format("{} {} stress={} draining={}\n", ::getpid(), line->text, context.stress(), session.draining());
    const auto sent = co_await stream.write(reply, within(std::chrono::seconds(10)));
    const auto flushed = co_await stream.flush(within(std::chrono::seconds(10)));
    if (!sent || !flushed) { break; }
  }
}

net::Task<> trigger(std::string bytes) {
  log::info("trigger {}", bytes);
  co_return;
}

Result<std::any> open_log_file(const config::Snapshot& config, const maps::OpenContext& /*tables*/) {
  const std::string& path = config.text("maillog_file");
  if (path.empty()) { return std::any(); }
  SP_TRY(unique_fd file, sys::open(path, O_WRONLY | O_APPEND | O_CREAT, 0644));
  return std::any(std::make_shared<unique_fd>(std::move(file)));
}

net::Task<Result<>> serve(Context& context) {
  if (context.service_type() == "unix-dgram") {
    // Stands in for postlogd: the prepared descriptor is the log file.
    const int file = std::any_cast<std::shared_ptr<unique_fd>>(context.prepared())->get();
    auto served = co_await context.serve_datagrams([file](std::span<const std::string_view> datagrams) {
      for (const std::string_view datagram : datagrams) {
        log::BatchReader lines(datagram);
        while (const auto line = lines.next()) {
          static_cast<void>(sys::write_all(file, std::string(line->text) + "\n"));
        }
      }
    });
    co_return served;
  }
  if (context.service_type() == "fifo" || context.service_name() == "trigger") {
    auto served = co_await context.serve_triggers(trigger);
    co_return served;
  }
  auto served =
      co_await context.serve_sessions([&context](net::AcceptedConnection connection, SessionContext& session) {
        return echo(std::move(connection), session, context);
      });
  co_return served;
}

}  // namespace
}  // namespace stagepost::daemon

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "echo";
  options.prepare = daemon::open_log_file;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "kind=isolated") {
      options.kind = daemon::Kind::isolated;
    } else if (argument == "kind=single") {
      options.kind = daemon::Kind::single;
    } else if (argument == "resident") {
      options.lifetime = daemon::Lifetime::resident;
    } else if (argument == "root") {
      options.user = daemon::User::root;
    } else if (argument == "fail") {
      return 3;
    }
  }
  return daemon::run(argc, argv, options, daemon::serve);
}
