// Shared page of master and a child, see the header.
#include "ipc/scoreboard.hpp"

#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "base/sys.hpp"

namespace stagepost::ipc {
namespace {

constexpr std::size_t kPageBytes = 4096;

Result<void*> map_page(int fd) {
  void* address = ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) { return errno_failure("mmap scoreboard"); }
  return address;
}

}  // namespace

Result<Scoreboard> Scoreboard::create() {
  unique_fd fd(::memfd_create("scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) { return errno_failure("memfd_create scoreboard"); }
  if (::ftruncate(fd.get(), static_cast<off_t>(kPageBytes)) != 0) { return errno_failure("ftruncate scoreboard"); }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return errno_failure("seal scoreboard");
  }
  SP_TRY(void* address, map_page(fd.get()));
  auto* page = new (address) ScoreboardPage{};
  page->magic.store(ScoreboardPage::kMagic);
  return Scoreboard(std::move(fd), page);
}

Result<Scoreboard> Scoreboard::attach(unique_fd fd) {
  SP_TRY(const auto status, sys::fstat(fd.get()));
  if (status.st_size != static_cast<off_t>(kPageBytes)) { return failure("scoreboard has the wrong size"); }
  SP_TRY(void* address, map_page(fd.get()));
  Scoreboard board(std::move(fd), std::launder(static_cast<ScoreboardPage*>(address)));
  if (board.page_->magic.load() != ScoreboardPage::kMagic) { return failure("scoreboard is of another release"); }
  return board;
}

Scoreboard::Scoreboard(Scoreboard&& other) noexcept
    : fd_(std::move(other.fd_)), page_(std::exchange(other.page_, nullptr)) {}

Scoreboard& Scoreboard::operator=(Scoreboard&& other) noexcept {
  if (this != &other) {
    if (page_ != nullptr) { ::munmap(page_, kPageBytes); }
    fd_ = std::move(other.fd_);
    page_ = std::exchange(other.page_, nullptr);
  }
  return *this;
}

Scoreboard::~Scoreboard() {
  if (page_ != nullptr) { ::munmap(page_, kPageBytes); }
}

}  // namespace stagepost::ipc
