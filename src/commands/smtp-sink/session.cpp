#include "commands/smtp-sink/session.hpp"

#include <cstdio>
#include <random>

#include <fmt/format.h>

#include "log/log.hpp"
#include "net/event.hpp"

namespace stagepost::smtp_sink {
namespace {

constexpr std::size_t kCommandLineLimit = 16 * 1024;
// Replies to commands that came ahead of their turn are sent together, but not hoarded.
constexpr std::size_t kReplyBytes = 16 * 1024;

int random_multiple(int odds) {
  static std::minstd_rand random{std::random_device{}()};
  std::uniform_int_distribution<int> dice(0, 99);
  int multiple = 0;
  while (dice(random) < odds) { ++multiple; }
  return multiple;
}

double seconds(SteadyClock::duration time) { return std::chrono::duration<double>(time).count(); }
double microseconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1000.0; }

}  // namespace

bool Tally::message(std::uint64_t recipients, std::uint64_t bytes, std::optional<SteadyClock::time_point> sent) {
  last_ = SteadyClock::now();
  if (!first_) { first_ = last_; }
  if (sent) { latencies_.add(last_ - *sent); }
  ++messages_;
  recipients_ += recipients;
  bytes_ += bytes;
  if (options_.report_every > 0 && messages_ % options_.report_every == 0) {
    fmt::print("{}\n", report());
    std::fflush(stdout);
  }
  if (options_.quit_messages == 0 || messages_ < options_.quit_messages) { return true; }
  end_();
  return false;
}

void Tally::session_ended() {
  ++sessions_;
  if (options_.quit_sessions > 0 && sessions_ >= options_.quit_sessions) { end_(); }
}

SteadyClock::time_point Tally::next_slot() {
  const auto interval = std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 / options_.rate));
  slot_ = std::max(SteadyClock::now(), slot_ + interval);
  return slot_;
}

std::string Tally::counters() const { return fmt::format("sess={} quit={} mesg={}", sessions_, quits_, messages_); }

std::string Tally::report() const {
  return fmt::format(
      R"({{"messages": {}, "recipients": {}, "bytes": {}, "sessions": {}, "seconds": {:.6f}, "last": {:.6f}, )"
      R"("latency_us": {{"count": {}, "p50": {:.1f}, "p90": {:.1f}, "p99": {:.1f}, "max": {:.1f}}}}})",
      messages_, recipients_, bytes_, sessions_, first_ ? seconds(last_ - *first_) : 0.0,
      seconds(last_.time_since_epoch()), latencies_.count(), microseconds(latencies_.percentile(0.5)),
      microseconds(latencies_.percentile(0.9)), microseconds(latencies_.percentile(0.99)),
      microseconds(latencies_.largest()));
}

net::Task<bool> Session::flush() {
  if (out_.empty()) { co_return true; }
  const auto written = co_await stream_.transport().write_all(out_, within(options_.timeout));
  out_.clear();
  co_return written.has_value();
}

net::Task<bool> Session::delay(Command command, std::size_t reply_begin) {
  const Behaviour& behaviour = of(options_.behaviours, command);
  if (behaviour.delay.count() == 0) { co_return true; }
  const int multiple = behaviour.delay_odds > 0 ? random_multiple(behaviour.delay_odds) : 1;
  const std::string reply = out_.substr(reply_begin);
  out_.resize(reply_begin);
  const bool sent = co_await flush();
  if (!sent) { co_return false; }
  const auto slept = co_await net::sleep_until(within(behaviour.delay * multiple));
  out_ += reply;
  co_return slept.has_value();
}

void Session::note(Command command, std::string_view line) const {
  if (options_.verbose) { fmt::print(stderr, "smtp-sink: {}\n", line); }
  if (of(options_.behaviours, command).log) { log::info("{}", line); }
}

net::Task<bool> Session::abort_data() {
  const bool sent = co_await flush();
  if (!sent) { co_return false; }
  const auto slept = co_await net::sleep_until(within(*options_.abort_delay));
  if (!slept) { co_return false; }
  out_ += "550 This violates SMTP\r\n";
  const bool said = co_await flush();
  static_cast<void>(said);
  co_return false;
}

net::Task<bool> Session::read_content(std::optional<Capture>& capture, std::uint64_t& bytes) {
  for (;;) {
    const auto input = co_await stream_.peek(within(options_.timeout));
    if (!input) { co_return false; }
    const auto end = end_of_data_.find(*input);
    const std::string_view part = input->substr(0, end.value_or(input->size()));
    bytes += part.size();
    if (options_.latency) { stamp_.add(part); }
    if (capture) {
      if (const auto added = capture->add(part); !added) {
        fmt::print(stderr, "smtp-sink: fatal: {}\n", added.error().message());
        co_return false;
      }
    }
    stream_.consume(part.size());
    if (end) { co_return true; }
  }
}

net::Task<bool> Session::receive_data() {
  std::optional<Capture> capture;
  if (options_.captures()) {
    auto made = Capture::create(options_, client_, dialogue_.envelope(), dialogue_.protocol());
    if (!made) {
      fmt::print(stderr, "smtp-sink: fatal: {}\n", made.error().message());
      co_return false;
    }
    capture = *std::move(made);
  }
  const bool invited = co_await flush();
  if (!invited) { co_return false; }
  if (options_.read_delay.count() > 0) {
    const auto slept = co_await net::sleep_until(within(options_.read_delay));
    if (!slept) { co_return false; }
  }
  std::uint64_t bytes = 0;
  stamp_.restart();
  const bool complete = co_await read_content(capture, bytes);
  if (!complete) { co_return false; }
  const auto sent = options_.latency ? stamp_.sent() : std::nullopt;
  if (capture) {
    if (const auto kept = capture->finish(); !kept) {
      fmt::print(stderr, "smtp-sink: fatal: {}\n", kept.error().message());
      co_return false;
    }
  }
  note(Command::dot, ".");
  const std::uint64_t recipients = dialogue_.envelope().recipient_count;
  if (tally_.limited()) {
    const auto slept = co_await net::sleep_until(Deadline(tally_.next_slot()));
    if (!slept) { co_return false; }
  }
  if (!tally_.message(recipients, bytes, sent)) { co_return false; }
  const Dialogue::Step step = dialogue_.end_of_data(out_);
  const bool waited = co_await delay(Command::dot, 0);
  co_return waited&& step.next != Dialogue::Next::close;
}

net::Task<bool> Session::obey(Dialogue::Step step) {
  switch (step.next) {
    case Dialogue::Next::go_on:
      co_return true;
    case Dialogue::Next::close:
      co_return false;
    case Dialogue::Next::receive_data: {
      const bool received = co_await receive_data();
      co_return received;
    }
    case Dialogue::Next::abort_data: {
      const bool aborted = co_await abort_data();
      co_return aborted;
    }
  }
  co_return false;
}

net::Task<> Session::run() {
  const Dialogue::Step greeting = dialogue_.greeting(out_);
  note(Command::connect, "connect");
  bool on = co_await delay(Command::connect, 0);
  on = on && greeting.next != Dialogue::Next::close;
  while (on) {
    if (out_.size() > kReplyBytes || stream_.buffered().find('\n') == std::string_view::npos) {
      const bool sent = co_await flush();
      if (!sent) { break; }
    }
    const auto line = co_await stream_.read_line(kCommandLineLimit, within(options_.timeout));
    if (!line) { break; }
    const std::size_t reply_begin = out_.size();
    const Dialogue::Step step = dialogue_.command(line->text, out_);
    note(step.command, line->text);
    if (step.command == Command::quit) { tally_.quit(); }
    on = co_await delay(step.command, reply_begin);
    if (on) { on = co_await obey(step); }
  }
  // What is still to be said before the end, such as 221 or 421.
  const bool said = co_await flush();
  static_cast<void>(said);
  stream_.close();
  if (options_.verbose) { fmt::print(stderr, "smtp-sink: disconnect\n"); }
  tally_.session_ended();
}

}  // namespace stagepost::smtp_sink
