// What master and a daemon it started say to each other: the descriptors a child is born with and the messages on its
// status socket. Format only, no I/O: both ends send one message per packet of a SOCK_SEQPACKET pair. The rules (who
// counts what, when a process may go) are in docs/architecture-processes.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.hpp"

namespace stagepost::ipc {

/// Descriptors of a child at exec. Listeners follow each other from kFirstListenerFd; how many is the argument of -s.
inline constexpr int kStatusFd = 3;
inline constexpr int kScoreboardFd = 4;
inline constexpr int kFirstListenerFd = 5;

/// More sessions than this in one process make it "busy": master may start another while cores are idle.
inline constexpr std::uint32_t kBusySessions = 4;
/// A quota without a limit.
inline constexpr std::uint32_t kUnlimited = UINT32_MAX;

/// How a program counts its clients. Told by the child, because services can be renamed and programs replaced.
enum class Kind : std::uint8_t {
  pooled = 1,    ///< up to the quota it was given
  single = 2,    ///< one process serves every client; maxproc does not limit its clients
  isolated = 3,  ///< one client at a time, whatever its quota
};

/// `value` of a hello: Kind in the low byte, these flags above it.
inline constexpr std::uint32_t kHelloOverlap = 1U << 8;   ///< a single daemon whose successor may start while it drains
inline constexpr std::uint32_t kHelloResident = 1U << 9;  ///< never asks to go
inline constexpr std::uint32_t kProtocolVersion = 1;

enum class Verb : std::uint8_t {
  // child to master
  hello = 1,      ///< first message; value = Kind and flags, extra = kProtocolVersion
  full = 2,       ///< serves as many sessions as it may; value = sessions
  available = 3,  ///< below its quota again; value = sessions
  busy = 4,       ///< kBusySessions reached
  calm = 5,       ///< below kBusySessions again
  idle = 6,       ///< nothing to do for max_idle and no longer accepting: may I go?
  retiring = 7,   ///< accepts nothing any more; value = sessions left. Repeated at every change.
  // master to child
  quota = 16,   ///< value = sessions it may serve at once from now on (kUnlimited possible)
  stress = 17,  ///< value 1: the service is at its limit; 0: no longer
  drain = 18,   ///< accept nothing more, finish, exit; a newer process takes over
  go = 19,      ///< answer to idle: exit
  stay = 20,    ///< answer to idle: there is work, accept again
  wakeup = 21,  ///< the service's wakeup timer
  contended =
      23,         ///< value 1: no further process can start, clients wait: give up idle sessions for them; 0: no longer
  shutdown = 22,  ///< the mail system stops: finish what can't be repeated, exit within seconds
};

struct StatusMessage {
  Verb verb = Verb::hello;
  std::uint32_t value = 0;
  std::uint32_t extra = 0;
  bool operator==(const StatusMessage&) const = default;
};

inline constexpr std::size_t kStatusMessageBytes = 12;
using StatusPacket = std::array<char, kStatusMessageBytes>;

[[nodiscard]] StatusPacket encode(const StatusMessage& message);
enum class Sender : std::uint8_t { child, master };
/// Error: wrong size, unknown verb, or a verb the other side never sends. `from` is who sent the packet.
[[nodiscard]] Result<StatusMessage> decode(std::span<const char> packet, Sender from);

[[nodiscard]] StatusMessage make_hello(Kind kind, std::uint32_t flags);
/// Error: not a hello, an unknown kind, or another protocol version (programs of two releases mixed).
[[nodiscard]] Result<Kind> kind_of(const StatusMessage& hello);

}  // namespace stagepost::ipc
