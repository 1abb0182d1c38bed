// See mapped_file.hpp. The list that the signal handler reads is the one thing here that the process has once.
#include "maps/mapped_file.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/sys.hpp"

namespace stagepost::maps {
namespace {

struct Mapping {
  std::atomic<bool> used = false;
  std::atomic<std::uintptr_t> begin = 0;
  std::atomic<std::size_t> size = 0;
  std::atomic<bool> damaged = false;
};

std::array<Mapping, 256> mappings;
struct sigaction previous_action;
std::uintptr_t page_size;

/// Puts a page of zeros where the file has none. mmap is no more than a system call here.
void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Mapping& mapping : mappings) {
    const std::uintptr_t begin = mapping.begin.load();
    if (begin == 0 || address < begin || address - begin >= mapping.size.load()) { continue; }
    mapping.damaged = true;
    void* page = reinterpret_cast<void*>(address & ~(page_size - 1));
    if (::mmap(page, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
      errno = saved_errno;
      return;
    }
  }
  // Not ours: what would have happened without us.
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signal, info, context);
  } else {
    ::sigaction(SIGBUS, &previous_action, nullptr);
  }
  errno = saved_errno;
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action{};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous_action);
  });
}

int take_slot() {
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    if (!mappings.at(i).used.exchange(true)) { return static_cast<int>(i); }
  }
  return -1;
}

}  // namespace

Result<MappedFile> MappedFile::open(int fd, const std::string& path) {
  SP_TRY(const struct stat status, sys::fstat(fd));
  MappedFile file;
  file.size_ = static_cast<std::size_t>(status.st_size);
  if (file.size_ == 0) { return file; }
  install_handler();
  const int slot = take_slot();
  if (slot < 0) {
    file.content_.resize(file.size_);
    for (std::size_t done = 0; done < file.size_;) {
      SP_TRY(const std::size_t got, sys::pread(fd, std::span(file.content_).subspan(done), static_cast<off_t>(done)));
      if (got == 0) { return failure("read " + path + ": it is truncated", std::errc::io_error); }
      done += got;
    }
    file.data_ = file.content_.data();
    return file;
  }
  void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    mappings.at(static_cast<std::size_t>(slot)).used = false;
    return errno_failure(error, "map " + path);
  }
  Mapping& mapping = mappings.at(static_cast<std::size_t>(slot));
  mapping.damaged = false;
  mapping.size = file.size_;
  mapping.begin = reinterpret_cast<std::uintptr_t>(data);
  file.data_ = static_cast<const char*>(data);
  file.slot_ = slot;
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(slot_, other.slot_);
  std::swap(content_, other.content_);
  // A short content_ lives inside the object.
  if (!content_.empty()) { data_ = content_.data(); }
  if (!other.content_.empty()) { other.data_ = other.content_.data(); }
  return *this;
}

MappedFile::~MappedFile() {
  if (slot_ < 0) { return; }
  Mapping& mapping = mappings.at(static_cast<std::size_t>(slot_));
  mapping.begin = 0;
  ::munmap(const_cast<char*>(data_), size_);
  mapping.used = false;
}

bool MappedFile::damaged() const { return slot_ >= 0 && mappings.at(static_cast<std::size_t>(slot_)).damaged.load(); }

}  // namespace stagepost::maps
