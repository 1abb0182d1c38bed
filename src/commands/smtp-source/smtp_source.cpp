#include "commands/smtp-source/smtp_source.hpp"

#include <csignal>
#include <cstdio>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/descriptor_limit.hpp"
#include "commands/smtp-source/session.hpp"
#include "net/event.hpp"
#include "net/socket_stream.hpp"
#include "net/task_group.hpp"

namespace stagepost::smtp_source {
namespace {

// --hold: this many are being opened at a time, few enough for any listen queue.
constexpr std::uint64_t kOpeners = 50;

int fatal(std::string_view text) {
  std::fflush(stdout);
  fmt::print(stderr, "smtp-source: fatal: {}\n", text);
  return 1;
}

void print_report(const Generator& generator) {
  fmt::print("{}\n", generator.report());
  std::fflush(stdout);
}

net::Task<> send_messages(std::shared_ptr<Generator> generator, std::uint64_t id) {
  Session session(std::move(generator), id);
  co_await session.run();
}

net::Task<> report_regularly(std::shared_ptr<Generator> generator) {
  for (;;) {
    const auto slept = co_await net::sleep_until(within(generator->options.report_interval));
    if (!slept) { co_return; }
    print_report(*generator);
  }
}

using Held = std::vector<std::unique_ptr<net::BufferedStream>>;

net::Task<> open_sessions(std::shared_ptr<Generator> generator, std::uint64_t count, Held& held) {
  for (std::uint64_t i = 0; i < count && !generator->ended(); ++i) {
    Session session(generator, i);
    const bool opened = co_await session.open();
    if (!opened) { co_return; }
    held.push_back(session.take_stream());
  }
}

bool still_open(net::BufferedStream& stream) {
  char byte = 0;
  const auto n = ::recv(stream.transport().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n != 0 && (n > 0 || errno == EAGAIN);
}

// Opens all sessions, says so, and keeps them until standard input ends.
net::Task<> hold_sessions(net::EventLoop& loop, std::shared_ptr<Generator> generator) {
  const std::uint64_t wanted = generator->options.sessions;
  const auto begun = SteadyClock::now();
  Held held;
  held.reserve(static_cast<std::size_t>(wanted));
  net::TaskGroup openers(loop, "smtp-source", kOpeners);
  generator->on_end([&loop, &openers] { loop.post([&openers] { openers.cancel(); }); });
  for (std::uint64_t i = 0; i < kOpeners; ++i) {
    const std::uint64_t share = wanted / kOpeners + (i < wanted % kOpeners ? 1 : 0);
    if (share > 0) { openers.spawn(open_sessions(generator, share, held)); }
  }
  co_await openers.join();
  generator->on_end(nullptr);
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - begun).count();
  fmt::print("{{\"held\": {}, \"wanted\": {}, \"seconds\": {:.6f}}}\n", held.size(), wanted, seconds);
  std::fflush(stdout);
  net::Readiness input(loop, STDIN_FILENO);
  for (bool open = true; open;) {
    const auto ready = co_await input.wait(Deadline::never());
    char byte = 0;
    open = ready && ::read(STDIN_FILENO, &byte, 1) > 0;
  }
  std::size_t left = 0;
  for (const auto& stream : held) { left += still_open(*stream) ? 1 : 0; }
  fmt::print("{{\"still_open\": {}}}\n", left);
  std::fflush(stdout);
}

net::Task<> run_sessions(net::EventLoop& loop, std::shared_ptr<Generator> generator) {
  const Options& options = generator->options;
  const auto sessions = std::min(options.sessions, options.messages);
  net::TaskGroup group(loop, "smtp-source", static_cast<std::size_t>(sessions));
  net::TaskGroup reporter(loop, "smtp-source report", 1);
  generator->on_end([&loop, &group] { loop.post([&group] { group.cancel(); }); });
  for (std::uint64_t i = 0; i < sessions; ++i) { group.spawn(send_messages(generator, i)); }
  if (options.report_interval.count() > 0) { reporter.spawn(report_regularly(generator)); }
  co_await group.join();
  generator->on_end(nullptr);
  co_await reporter.cancel_and_join();
}

Result<std::shared_ptr<Generator>> make_generator(net::EventLoop& loop, Options options) {
  std::shared_ptr<const tls::ClientContext> tls_context;
  if (options.starttls) { SP_TRY(tls_context, tls::ClientContext::create(tls::Credentials{})); }
  SP_TRY(auto content, MessageTemplate::create(options));
  SP_TRY(auto connector, Connector::create(loop, options));
  return std::make_shared<Generator>(std::move(options), std::move(content), std::move(connector),
                                     std::move(tls_context));
}

}  // namespace

int run(int argc, char** argv) {
  auto options = parse_options(argc, argv);
  if (!options) { return fatal(options.error().message()); }
  sys::raise_descriptor_limit();
  net::EventLoop loop;
  auto generator = make_generator(loop, *std::move(options));
  if (!generator) { return fatal(generator.error().message()); }
  if ((*generator)->options.report) {
    // What was measured until then is still of use.
    for (const int number : {SIGINT, SIGTERM}) {
      loop.on_signal(number, [running = *generator] { running->stop(); });
    }
  }
  if ((*generator)->options.hold) {
    loop.run_task(hold_sessions(loop, *generator));
  } else {
    loop.run_task(run_sessions(loop, *generator));
  }
  (*generator)->finish_counter();
  if ((*generator)->options.report) { print_report(**generator); }
  if (const auto& failure = (*generator)->failure()) { return fatal(*failure); }
  return 0;
}

}  // namespace stagepost::smtp_source
