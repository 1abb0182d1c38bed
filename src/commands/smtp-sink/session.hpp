// One connection of smtp-sink, and what all connections of a run share.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/latency_histogram.hpp"
#include "commands/smtp-sink/capture.hpp"
#include "commands/smtp-sink/dialogue.hpp"
#include "commands/smtp-sink/end_of_data.hpp"
#include "commands/smtp-sink/options.hpp"
#include "commands/smtp-sink/stamp.hpp"
#include "net/buffered_stream.hpp"

namespace stagepost::smtp_sink {

/// Counts of a run, its message rate, and when it ends.
class Tally {
 public:
  Tally(const Options& options, std::function<void()> end) : options_(options), end_(std::move(end)) {}

  /// One message has arrived whole. False: that was the last one wanted (-M).
  [[nodiscard]] bool message(std::uint64_t recipients, std::uint64_t bytes,
                             std::optional<SteadyClock::time_point> sent);
  void quit() { ++quits_; }
  void session_ended();
  /// --rate: when the message that has just arrived may be answered.
  [[nodiscard]] SteadyClock::time_point next_slot();
  /// Ends the limit of --rate.
  void lift_limit() { limited_ = false; }
  [[nodiscard]] bool limited() const { return limited_; }

  /// "sess=1 quit=1 mesg=1"
  [[nodiscard]] std::string counters() const;
  /// One line of JSON without newline.
  [[nodiscard]] std::string report() const;

 private:
  const Options& options_;
  std::function<void()> end_;
  std::uint64_t sessions_ = 0;
  std::uint64_t quits_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t recipients_ = 0;
  std::uint64_t bytes_ = 0;
  std::optional<SteadyClock::time_point> first_;
  SteadyClock::time_point last_;
  SteadyClock::time_point slot_;
  LatencyHistogram latencies_;
  bool limited_ = options_.rate > 0;
};

class Session {
 public:
  Session(const Options& options, Tally& tally, std::unique_ptr<net::Stream> stream, Capture::Client client)
      : options_(options), tally_(tally), stream_(std::move(stream)), client_(std::move(client)), dialogue_(options) {}

  [[nodiscard]] net::Task<> run();

 private:
  net::Task<bool> flush();
  /// Delays what `step` asks for, keeping the replies from `reply_begin` on back.
  net::Task<bool> delay(Command command, std::size_t reply_begin);
  net::Task<bool> obey(Dialogue::Step step);
  net::Task<bool> receive_data();
  net::Task<bool> read_content(std::optional<Capture>& capture, std::uint64_t& bytes);
  net::Task<bool> abort_data();
  void note(Command command, std::string_view line) const;

  const Options& options_;
  Tally& tally_;
  net::BufferedStream stream_;
  Capture::Client client_;
  Dialogue dialogue_;
  EndOfData end_of_data_;
  StampReader stamp_;
  std::string out_;
};

}  // namespace stagepost::smtp_sink
