// What the sessions of one run share: the messages still to send, when each is due, counts and reply times, and the
// first failure that ends the run.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/latency_histogram.hpp"
#include "commands/smtp-source/connector.hpp"
#include "commands/smtp-source/message.hpp"
#include "commands/smtp-source/options.hpp"
#include "tls/context.hpp"

namespace stagepost::smtp_source {

struct Counts {
  std::uint64_t messages = 0;    ///< end of data was accepted
  std::uint64_t recipients = 0;  ///< of these messages
  std::uint64_t errors = 0;      ///< replies other than the expected positive one, and lost connections with --hold
  std::uint64_t connections = 0;
};

class Generator {
 public:
  Generator(Options options, MessageTemplate content, Connector connector,
            std::shared_ptr<const tls::ClientContext> tls_context);

  struct Turn {
    std::uint64_t number;
    SteadyClock::time_point due;  ///< --rate
  };
  /// The next message, until all are given out, the time is over or the run has failed.
  [[nodiscard]] std::optional<Turn> next();
  /// End of data was accepted `latency` after it was sent.
  void accepted(std::chrono::nanoseconds latency);
  /// An error reply. False: the run has failed with it (without -A) and the session must end.
  [[nodiscard]] bool rejected(std::string_view what, std::string_view reply);
  /// What -A does not help against, such as a lost connection. The first one is the run's result.
  void fail(std::string text);
  /// No further messages; what runs is finished. Called again, it ends that too.
  void stop();
  /// Called when everything must end at once, perhaps from inside a session; may be called more than once.
  void on_end(std::function<void()> callback) { on_end_ = std::move(callback); }

  [[nodiscard]] bool ended() const { return stopped_ || failure_.has_value(); }
  [[nodiscard]] const std::optional<std::string>& failure() const { return failure_; }
  /// One line of JSON without newline: what happened so far.
  [[nodiscard]] std::string report() const;
  void finish_counter() const;

  const Options options;
  MessageTemplate content;
  const Connector connector;
  const std::shared_ptr<const tls::ClientContext> tls_context;
  Counts counts;
  std::uint64_t recipient_sequence = 0;

 private:
  std::uint64_t given_out_ = 0;
  SteadyClock::time_point begun_ = SteadyClock::now();
  SteadyClock::time_point last_reply_ = begun_;
  SteadyClock::time_point counter_shown_ = begun_;
  LatencyHistogram reply_times_;
  std::optional<std::string> failure_;
  bool stopped_ = false;
  std::function<void()> on_end_;
};

}  // namespace stagepost::smtp_source
