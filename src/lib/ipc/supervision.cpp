// Encoding of the status messages between master and its children. See the header.
#include "ipc/supervision.hpp"

#include <cstring>

namespace stagepost::ipc {
namespace {

// Marks our packets, so that a foreign program's writes to descriptor 3 are told apart from a message.
constexpr char kMark0 = 'S';
constexpr char kMark1 = 'P';

bool may_send(Verb verb, Sender from) {
  switch (verb) {
    case Verb::hello:
    case Verb::full:
    case Verb::available:
    case Verb::busy:
    case Verb::calm:
    case Verb::idle:
    case Verb::retiring:
      return from == Sender::child;
    case Verb::quota:
    case Verb::stress:
    case Verb::drain:
    case Verb::go:
    case Verb::stay:
    case Verb::wakeup:
    case Verb::contended:
    case Verb::shutdown:
      return from == Sender::master;
  }
  return false;
}

}  // namespace

StatusPacket encode(const StatusMessage& message) {
  StatusPacket packet{};
  packet[0] = kMark0;
  packet[1] = kMark1;
  packet[2] = static_cast<char>(message.verb);
  // Host byte order: both ends run on this machine.
  std::memcpy(packet.data() + 4, &message.value, sizeof message.value);
  std::memcpy(packet.data() + 8, &message.extra, sizeof message.extra);
  return packet;
}

Result<StatusMessage> decode(std::span<const char> packet, Sender from) {
  if (packet.size() != kStatusMessageBytes || packet[0] != kMark0 || packet[1] != kMark1) {
    return failure("malformed status message");
  }
  StatusMessage message;
  message.verb = static_cast<Verb>(static_cast<unsigned char>(packet[2]));
  if (!may_send(message.verb, from)) { return failure("unexpected status message"); }
  std::memcpy(&message.value, packet.data() + 4, sizeof message.value);
  std::memcpy(&message.extra, packet.data() + 8, sizeof message.extra);
  return message;
}

StatusMessage make_hello(Kind kind, std::uint32_t flags) {
  return {.verb = Verb::hello, .value = static_cast<std::uint32_t>(kind) | flags, .extra = kProtocolVersion};
}

Result<Kind> kind_of(const StatusMessage& hello) {
  if (hello.verb != Verb::hello) { return failure("first status message is not a greeting"); }
  if (hello.extra != kProtocolVersion) { return failure("daemon and master are of different releases"); }
  const auto kind = static_cast<Kind>(hello.value & 0xffU);
  if (kind != Kind::pooled && kind != Kind::single && kind != Kind::isolated) {
    return failure("unknown kind of daemon");
  }
  return kind;
}

}  // namespace stagepost::ipc
