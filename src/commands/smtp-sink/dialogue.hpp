// What smtp-sink replies: order of commands and the misbehaviour asked for. No I/O, no clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "commands/smtp-sink/command.hpp"
#include "commands/smtp-sink/options.hpp"

namespace stagepost::smtp_sink {

/// Envelope of the running transaction; arguments are kept only for message files.
struct Envelope {
  std::string helo;  ///< argument of the last HELO, EHLO or LHLO of the session
  std::string mail;
  std::vector<std::string> recipients;
  std::uint64_t recipient_count = 0;
};

class Dialogue {
 public:
  explicit Dialogue(const Options& options) : options_(options) {}

  enum class Next : std::uint8_t {
    go_on,         ///< the reply, then the next command
    receive_data,  ///< the reply, then message content
    abort_data,    ///< the reply, then -A's
    close          ///< what reply there is, then the end
  };
  struct Step {
    Command command = Command::unknown;
    Next next = Next::go_on;
    std::string_view argument;  ///< into the line
  };

  /// Each appends a reply (or none) to `reply`.
  [[nodiscard]] Step greeting(std::string& reply);
  [[nodiscard]] Step command(std::string_view line, std::string& reply);
  /// After the message content.
  [[nodiscard]] Step end_of_data(std::string& reply);

  [[nodiscard]] const Envelope& envelope() const { return envelope_; }
  /// "SMTP", "ESMTP" or "LMTP"
  [[nodiscard]] std::string_view protocol() const { return options_.lmtp ? "LMTP" : extended_ ? "ESMTP" : "SMTP"; }

 private:
  [[nodiscard]] bool misbehave(Step& step, std::string& reply) const;
  void answer(Step& step, std::string& reply);
  void announce(std::string& reply) const;
  void end_transaction();

  const Options& options_;
  Envelope envelope_;
  bool extended_ = false;
  bool in_transaction_ = false;
};

}  // namespace stagepost::smtp_sink
