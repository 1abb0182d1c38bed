// How often each command was sent and how often it succeeded: the tail of the line "disconnect from ...".
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "mail/smtp_command.hpp"

namespace stagepost::smtpd {

class CommandCounts {
 public:
  void add(smtp::Verb verb, bool success);
  /// "ehlo=1 mail=1 rcpt=0/1 commands=2/3": successes, "/" all where they differ; commands that were not sent are left
  /// out.
  [[nodiscard]] std::string summary() const;

 private:
  struct Count {
    std::uint32_t good = 0;
    std::uint32_t all = 0;
  };
  std::array<Count, 16> counts_{};
};

}  // namespace stagepost::smtpd
