// A daemon for the tests of master: answers each line with the number of its process, the line and what master
// said about stress and drain. "crash" aborts the process, "work" makes it wait for a second line. Arguments in
// master.cf choose how it behaves: "kind=isolated", "kind=single", "resident", "plain" (never gives up an idle client),
// "fail".
#include <algorithm>
#include <cstdlib>
#include <unistd.h>

#include <fmt/core.h>

#include "daemon/daemon.hpp"
#include "log/log.hpp"

namespace stagepost::daemon {
namespace {

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
    if (line->text == "work") {
      // Busy in the middle of a request: drain and eviction must not touch it.
      const auto more = co_await stream.read_line(1000, within(std::chrono::seconds(60)));
      if (!more) { break; }
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

net::Task<Result<>> serve(Context& context) {
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
  daemon::Options options{.name = "echo"};
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "kind=isolated") {
      options.kind = daemon::Kind::isolated;
    } else if (argument == "kind=single") {
      options.kind = daemon::Kind::single;
    } else if (argument == "resident") {
      options.lifetime = daemon::Lifetime::resident;
    } else if (argument == "fail") {
      return 3;
    }
  }
  return daemon::run(argc, argv, options, daemon::serve);
}
