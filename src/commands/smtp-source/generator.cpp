#include "commands/smtp-source/generator.hpp"

#include <cstdio>
#include <utility>

#include <fmt/format.h>

namespace stagepost::smtp_source {
namespace {

double microseconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1000.0; }

}  // namespace

Generator::Generator(Options given_options, MessageTemplate given_content, Connector given_connector,
                     std::shared_ptr<const tls::ClientContext> context)
    : options(std::move(given_options)),
      content(std::move(given_content)),
      connector(std::move(given_connector)),
      tls_context(std::move(context)) {}

std::optional<Generator::Turn> Generator::next() {
  if (ended() || given_out_ >= options.messages) { return std::nullopt; }
  SteadyClock::time_point due = begun_;
  if (options.rate > 0) {
    due += std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(given_out_) / options.rate * 1e9));
  }
  if (options.duration.count() > 0) {
    const auto end = begun_ + options.duration;
    if (due >= end || SteadyClock::now() >= end) { return std::nullopt; }
  }
  return Turn{given_out_++, due};
}

void Generator::accepted(std::chrono::nanoseconds latency) {
  ++counts.messages;
  counts.recipients += options.recipients;
  reply_times_.add(latency);
  last_reply_ = SteadyClock::now();
  if (!options.counter) { return; }
  fmt::print("{}\r", counts.messages);
  // All numbers are written, but not each by a system call of its own.
  if (last_reply_ - counter_shown_ >= std::chrono::milliseconds(50)) {
    counter_shown_ = last_reply_;
    std::fflush(stdout);
  }
}

bool Generator::rejected(std::string_view what, std::string_view reply) {
  ++counts.errors;
  if (!options.keep_going) {
    fail(fmt::format("{}: {}", what, reply));
    return false;
  }
  fmt::print(stderr, "smtp-source: warning: {}: {}\n", what, reply);
  return true;
}

void Generator::fail(std::string text) {
  if (!failure_) { failure_ = std::move(text); }
  if (on_end_) { on_end_(); }
}

void Generator::stop() {
  if (std::exchange(stopped_, true) && on_end_) { on_end_(); }
}

std::string Generator::report() const {
  const double seconds = std::chrono::duration<double>(last_reply_ - begun_).count();
  return fmt::format(
      R"({{"messages": {}, "recipients": {}, "errors": {}, "connections": {}, "seconds": {:.6f}, "elapsed": {:.6f}, )"
      R"("reply_us": {{"p50": {:.1f}, "p90": {:.1f}, "p99": {:.1f}, "max": {:.1f}}}}})",
      counts.messages, counts.recipients, counts.errors, counts.connections, seconds,
      std::chrono::duration<double>(SteadyClock::now() - begun_).count(), microseconds(reply_times_.percentile(0.5)),
      microseconds(reply_times_.percentile(0.9)), microseconds(reply_times_.percentile(0.99)),
      microseconds(reply_times_.largest()));
}

void Generator::finish_counter() const {
  if (!options.counter) { return; }
  fmt::print("\n");
  std::fflush(stdout);
}

}  // namespace stagepost::smtp_source
