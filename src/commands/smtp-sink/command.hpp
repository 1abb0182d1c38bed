// The commands smtp-sink knows, and what its options say about each of them.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace stagepost::smtp_sink {

/// `connect` stands for the greeting, `dot` for the end of data; they are commands to the options only.
enum class Command : std::uint8_t {
  connect,
  helo,
  ehlo,
  lhlo,
  xclient,
  xforward,
  auth,
  mail,
  rcpt,
  vrfy,
  data,
  dot,
  rset,
  noop,
  quit,
  unknown
};
inline constexpr std::size_t kCommands = static_cast<std::size_t>(Command::unknown) + 1;

/// By the first word of a command line or of an option, in any case; "." is `dot`.
[[nodiscard]] Command command_named(std::string_view word);

/// What an option asks for when a command arrives.
struct Behaviour {
  bool reject_hard = false;       ///< -f
  bool reject_soft = false;       ///< -r
  bool disconnect = false;        ///< -q
  bool disconnect_421 = false;    ///< -Q
  bool log = false;               ///< -s
  std::chrono::seconds delay{0};  ///< -W, -w
  int delay_odds = 0;             ///< percent; 0: the delay is not random
};
using Behaviours = std::array<Behaviour, kCommands>;

[[nodiscard]] inline Behaviour& of(Behaviours& behaviours, Command command) {
  return behaviours[static_cast<std::size_t>(command)];
}
[[nodiscard]] inline const Behaviour& of(const Behaviours& behaviours, Command command) {
  return behaviours[static_cast<std::size_t>(command)];
}

}  // namespace stagepost::smtp_sink
