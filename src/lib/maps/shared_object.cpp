// See shared_object.hpp.
#include "maps/shared_object.hpp"

#include <cstdint>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <span>

#include "base/sys.hpp"

namespace stagepost::maps {
namespace {

constexpr unsigned char kClass = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
/// A shared object has about ten.
constexpr std::size_t kHeaderLimit = 1000;

/// False: the file ends before it.
template <class Structure>
Result<bool> read_at(int fd, std::uint64_t offset, std::uint64_t file_bytes, Structure& into) {
  if (offset > file_bytes || file_bytes - offset < sizeof(Structure)) { return false; }
  std::span<char> bytes(reinterpret_cast<char*>(&into), sizeof(Structure));
  while (!bytes.empty()) {
    SP_TRY(const std::size_t got, sys::pread(fd, bytes, static_cast<off_t>(offset)));
    if (got == 0) { return false; }
    offset += got;
    bytes = bytes.subspan(got);
  }
  return true;
}

bool within_file(std::uint64_t offset, std::uint64_t size, std::uint64_t file_bytes) {
  return offset <= file_bytes && size <= file_bytes - offset;
}

}  // namespace

Result<> check_shared_object(const std::string& path) {
  SP_TRY(const unique_fd fd, sys::open(path, O_RDONLY));
  SP_TRY(const struct stat status, sys::fstat(fd.get()));
  if (!S_ISREG(status.st_mode)) { return failure(path + ": not a regular file"); }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto truncated = [&path] { return failure(path + ": file is truncated"); };
  ElfW(Ehdr) header{};
  SP_TRY(const bool whole, read_at(fd.get(), 0, size, header));
  if (!whole) { return truncated(); }
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != kClass ||
      header.e_type != ET_DYN || header.e_phentsize != sizeof(ElfW(Phdr)) || header.e_phnum > kHeaderLimit) {
    return failure(path + ": not a shared object");
  }
  if (!within_file(header.e_shoff, std::uint64_t{header.e_shentsize} * header.e_shnum, size)) { return truncated(); }
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    ElfW(Phdr) segment{};
    SP_TRY(const bool there, read_at(fd.get(), header.e_phoff + i * sizeof segment, size, segment));
    if (!there || !within_file(segment.p_offset, segment.p_filesz, size)) { return truncated(); }
  }
  return {};
}

}  // namespace stagepost::maps
