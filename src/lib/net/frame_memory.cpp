#include "net/frame_memory.hpp"

#include <array>
#include <new>

namespace stagepost::net {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SP_FRAMES_ARE_CHECKED 1
#endif
#endif
#ifdef SP_FRAMES_ARE_CHECKED
constexpr std::size_t kKeptBytes = 0;  // sanitizers see each use of a freed frame
#else
constexpr std::size_t kKeptBytes = 512 * 1024;
#endif
constexpr std::size_t kStepBytes = 64;
constexpr std::size_t kLargestBytes = 16 * 1024;

struct Unused {
  Unused* next;
};
struct Kept {
  std::array<Unused*, kLargestBytes / kStepBytes + 1> by_size{};  ///< index: size in steps, rounded up
  std::size_t bytes = 0;
};
constinit thread_local Kept kept;

constexpr std::size_t steps(std::size_t size_bytes) { return (size_bytes + kStepBytes - 1) / kStepBytes; }

}  // namespace

void* allocate_frame(std::size_t size_bytes) {
  if (size_bytes > kLargestBytes) { return ::operator new(size_bytes); }
  const std::size_t index = steps(size_bytes);
  Unused*& first = kept.by_size[index];
  if (first == nullptr) { return ::operator new(index * kStepBytes); }
  kept.bytes -= index * kStepBytes;
  Unused* const taken = first;
  first = taken->next;
  return taken;
}

void free_frame(void* frame, std::size_t size_bytes) noexcept {
  if (size_bytes > kLargestBytes) {
    ::operator delete(frame);
    return;
  }
  const std::size_t index = steps(size_bytes);
  if (kept.bytes + index * kStepBytes > kKeptBytes) {
    ::operator delete(frame);
    return;
  }
  kept.bytes += index * kStepBytes;
  kept.by_size[index] = new (frame) Unused{kept.by_size[index]};
}

}  // namespace stagepost::net
