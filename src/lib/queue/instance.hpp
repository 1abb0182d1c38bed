// Which message is meant. Short queue IDs are used again, so the times of the message belong to its identity.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "queue/queue_id.hpp"
#include "queue/record.hpp"

namespace stagepost::queue {

struct Instance {
  QueueId id;
  ArrivalTime arrival;           ///< Record T.
  std::int64_t create_time = 0;  ///< Attribute create_time, seconds; 0 if the file has none.
  bool operator==(const Instance&) const = default;
};

/// The instance from the first records of a queue file that cleanup wrote (size, time, create_time). Errors: the
/// disk's, or damage (queue/error.hpp) when the file does not begin like that, or is cut off within these records.
[[nodiscard]] Result<Instance> read_instance(int fd, const QueueId& id);
[[nodiscard]] Result<Instance> read_instance(const std::string& path, const QueueId& id);
/// The same from bytes in memory: the beginning of a file, kInstanceOctets are enough.
inline constexpr std::size_t kInstanceOctets = 512;
[[nodiscard]] Result<Instance> parse_instance(std::string_view beginning, const QueueId& id);

}  // namespace stagepost::queue
