// Any bytes as an LMDB file: an answer or an Error, never a crash, and the listing agrees with the lookups.
#include <cstdint>
#include <sys/mman.h>

#include "base/assert.hpp"
#include "base/sys.hpp"
#include "maps/lmdb_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  unique_fd fd(::memfd_create("fuzz", MFD_CLOEXEC));
  SP_ASSERT(fd && sys::write_all(fd.get(), {reinterpret_cast<const char*>(data), size}));
  auto reader = maps::LmdbReader::open(std::move(fd), "fuzz");
  if (!reader) { return 0; }
  for (const std::string_view key :
       {std::string_view("a\0", 2), std::string_view("key42\0", 6), std::string_view("")}) {
    const auto found = reader->find(key);
    SP_ASSERT(!found || !*found || (*found)->size() <= maps::kValueLimit + 1);
  }
  std::size_t entries = 0;
  (void)reader->each([&](std::string_view, std::string_view) {
    return ++entries < 10'000 ? Result<>{} : Result<>(failure("enough"));
  });
  return 0;
}
