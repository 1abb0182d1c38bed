// A whole file of hostile bytes: the reader ends with a message or with damage, in bounded time and memory.
#include <cstdint>
#include <sys/mman.h>

#include "base/assert.hpp"
#include "base/sys.hpp"
#include "queue/error.hpp"
#include "queue/message_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  unique_fd fd(::memfd_create("message", MFD_CLOEXEC));
  SP_ASSERT(sys::write_all(fd.get(), std::string_view(reinterpret_cast<const char*>(data), size)));
  auto reader = queue::MessageReader::adopt(std::move(fd), "message", {});
  const auto envelope = reader.read_envelope();
  SP_ASSERT(envelope || queue::is_damage(envelope.error()));
  std::optional<std::int64_t> offset = 0;
  for (std::size_t windows = 0; offset && windows < 100; ++windows) {
    const auto window = reader.read_recipients(*offset, 3);
    SP_ASSERT(window || queue::is_damage(window.error()));
    if (!window) { break; }
    SP_ASSERT(window->recipients.size() <= 3);
    if (!window->recipients.empty()) { SP_ASSERT(reader.mark_done(window->recipients.front().offset)); }
    offset = window->next_offset;
  }
  if (envelope && reader.rewind_content(*envelope)) {
    std::string content;
    const auto read = reader.read_content(content, size + 1);
    SP_ASSERT(read || queue::is_damage(read.error()));
    static_cast<void>(reader.mark_warning_sent(*envelope));
  }
  return 0;
}
