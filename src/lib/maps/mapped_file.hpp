// A file in memory without copying it, that survives what others do to the file: where a mapped page is gone (somebody
// truncated the file), zeros appear in its place and damaged() says so, instead of SIGBUS ending the process.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::maps {

class MappedFile {
 public:
  /// Maps all of it, for reading. The descriptor is not needed afterwards. When very many files are mapped already, the
  /// content is read into memory.
  [[nodiscard]] static Result<MappedFile> open(int fd, const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::string_view bytes() const { return {data_, size_}; }
  /// What was read since open() may have been zeros that are not in the file. Ask after reading, before believing.
  [[nodiscard]] bool damaged() const;

 private:
  MappedFile() = default;

  const char* data_ = nullptr;
  std::size_t size_ = 0;
  int slot_ = -1;  ///< in the handler's list; -1: content_ holds the bytes
  std::string content_;
};

}  // namespace stagepost::maps
