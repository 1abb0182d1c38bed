// Files that dlopen(3) must not see.
#include "maps/shared_object.hpp"

#include <cstring>
#include <elf.h>
#include <filesystem>
#include <fstream>
#include <link.h>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

class SharedObject : public ::testing::Test {
 protected:
  ~SharedObject() override { std::filesystem::remove(path_); }

  /// A header, one segment that is the whole file, and two section headers at the end.
  static std::string object() {
    ElfW(Ehdr) header{};
    ElfW(Phdr) segment{};
    const std::string body(500, 'x');
    const std::string sections(2 * sizeof(ElfW(Shdr)), '\0');
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
    header.e_type = ET_DYN;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof segment;
    header.e_phnum = 1;
    header.e_shoff = sizeof header + sizeof segment + body.size();
    header.e_shentsize = sizeof(ElfW(Shdr));
    header.e_shnum = 2;
    segment.p_type = PT_LOAD;
    segment.p_filesz = sizeof header + sizeof segment + body.size();
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) +
           std::string(reinterpret_cast<const char*>(&segment), sizeof segment) + body + sections;
  }

  std::string check(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    const auto checked = check_shared_object(path_);
    return checked ? "" : checked.error().message().substr(path_.size());
  }

  const std::string path_ = std::filesystem::temp_directory_path() / ("shared-object-" + std::to_string(::getpid()));
};

TEST_F(SharedObject, AWholeOneIsAccepted) {
  EXPECT_EQ(check(object()), "");
  EXPECT_EQ(check(object() + "more"), "");
}

TEST_F(SharedObject, EachCutIsSeen) {
  const std::string whole = object();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(check(whole.substr(0, size)), ": file is truncated") << size;
  }
}

TEST_F(SharedObject, OtherFilesAreRefused) {
  EXPECT_EQ(check(std::string(200, 'a')), ": not a shared object");
  std::string executable = object();
  executable[offsetof(ElfW(Ehdr), e_type)] = ET_EXEC;
  EXPECT_EQ(check(executable), ": not a shared object");
  std::string huge = object();
  const decltype(ElfW(Ehdr)::e_phoff) far = ~decltype(ElfW(Ehdr)::e_phoff){0};
  std::memcpy(huge.data() + offsetof(ElfW(Ehdr), e_phoff), &far, sizeof far);
  EXPECT_EQ(check(huge), ": file is truncated");
  EXPECT_FALSE(check_shared_object("/dev/null"));
  EXPECT_FALSE(check_shared_object(path_ + "-none"));
}

}  // namespace
}  // namespace stagepost::maps
