#include "queue/instance.hpp"

#include <array>
#include <fcntl.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "queue/attribute_names.hpp"
#include "queue/error.hpp"

namespace stagepost::queue {

Result<Instance> parse_instance(std::string_view beginning, const QueueId& id) {
  const bool whole = beginning.size() < kInstanceOctets;
  const auto damaged = [&] { return queue_failure(QueueErrc::bad_record, id.str()); };
  const auto take = [&]() -> std::optional<RecordView> {
    const auto parsed = parse_record(beginning);
    if (!parsed) { return std::nullopt; }
    beginning.remove_prefix(parsed->octets);
    return parsed->record;
  };
  const auto size = take();
  if (!size || size->type != RecordType::size) { return damaged(); }
  const auto time = take();
  if (!time || time->type != RecordType::time || time->data.contains('\0')) { return damaged(); }
  const auto arrival = parse_time(time->data);
  if (!arrival) { return damaged(); }
  Instance instance{.id = id, .arrival = *arrival, .create_time = 0};
  // No queue file ends here. A record that goes on behind what was read is somebody else's: ours are short.
  const auto next = parse_record(beginning);
  if (!next) {
    if (next.error() != RecordError::incomplete || whole || beginning.empty()) { return damaged(); }
    return instance;
  }
  if (next->record.type == RecordType{}) { return damaged(); }  // zeros
  if (next->record.type != RecordType::attribute) { return instance; }
  const auto attribute = parse_attribute(next->record.data);
  if (!attribute || next->record.data.contains('\0')) { return damaged(); }
  if (attribute->name == attr::create_time) {
    const auto seconds = text::parse_unsigned(attribute->value);
    if (!seconds || *seconds > INT64_MAX) { return damaged(); }
    instance.create_time = static_cast<std::int64_t>(*seconds);
  }
  return instance;
}

Result<Instance> read_instance(int fd, const QueueId& id) {
  std::array<char, kInstanceOctets> buffer{};
  SP_TRY(const std::size_t got, sys::pread(fd, buffer, 0));
  return parse_instance(std::string_view(buffer.data(), got), id);
}

Result<Instance> read_instance(const std::string& path, const QueueId& id) {
  SP_TRY(const unique_fd fd, sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  return read_instance(fd.get(), id);
}

}  // namespace stagepost::queue
