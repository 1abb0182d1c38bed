// Maildrop files are written by any local user: whatever is in one, reading it ends, within bounds.
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "cleanup/pickup/submission_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  static const unique_fd file(::memfd_create("submission", MFD_CLOEXEC));
  if (::ftruncate(file.get(), 0) != 0) { std::abort(); }
  if (!sys::pwrite_all(file.get(), {reinterpret_cast<const char*>(data), size}, 0)) { std::abort(); }
  pickup::SubmissionFile reader(file.get(), "fuzz", pickup::Origin::user);
  const auto envelope = reader.read_envelope();
  if (!envelope) { return 0; }
  std::size_t total = 0;
  for (;;) {
    const auto content = reader.read_content();
    if (!content) { return 0; }
    if (content->empty()) { break; }
    total += content->size();
    if (total > size) { std::abort(); }  // no record is longer than its bytes in the file
  }
  static_cast<void>(reader.read_extracted());
  return 0;
}
