#include "log/last_words.hpp"

#include <array>
#include <cerrno>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

namespace stagepost::log {
namespace {

// A signal handler sees only globals.
std::array<std::atomic<LastWords*>, LastWords::kPlaces> places{};

/// For a stack that overflowed. Without use it costs address space only.
alignas(16) std::array<char, 16384> handler_stack;

void write_out(int fd, const char* data, std::size_t size) noexcept {
  // postlogd's socket is full for a moment now and then.
  for (int attempt = 0; size > 0 && attempt < 10; ++attempt) {
    const ssize_t written = ::write(fd, data, size);
    if (written > 0) {
      data += written;
      size -= static_cast<std::size_t>(written);
    } else if (errno == EAGAIN) {
      pollfd room{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&room, 1, 20);
    } else if (errno != EINTR) {
      return;
    }
  }
}

extern "C" void on_deadly_signal(int number) {
  const int error = errno;
  write_last_words();
  errno = error;
  // The action is the default one again (SA_RESETHAND): it takes place when this handler returns.
  ::raise(number);
}

}  // namespace

void catch_deadly_signals() noexcept {
  stack_t present{};
  if (::sigaltstack(nullptr, &present) == 0 && (present.ss_flags & SS_DISABLE) != 0) {
    const stack_t own{.ss_sp = handler_stack.data(), .ss_flags = 0, .ss_size = handler_stack.size()};
    ::sigaltstack(&own, nullptr);
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM, SIGSYS, SIGQUIT, SIGXCPU, SIGXFSZ}) {
    struct sigaction action{};
    if (::sigaction(number, nullptr, &action) != 0 || (action.sa_flags & SA_SIGINFO) != 0 ||
        action.sa_handler != SIG_DFL) {
      continue;
    }
    action = {};
    action.sa_handler = on_deadly_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_ONSTACK;
    ::sigaction(number, &action, nullptr);
  }
}

LastWords::LastWords() noexcept {
  for (auto& place : places) {
    LastWords* expected = nullptr;
    if (place.compare_exchange_strong(expected, this)) { return; }
  }
}

LastWords::~LastWords() {
  for (auto& place : places) {
    LastWords* expected = this;
    if (place.compare_exchange_strong(expected, nullptr)) { return; }
  }
}

void LastWords::set(int fd, const char* data, std::size_t size) noexcept {
  // In this order a handler that interrupts never sees a size that does not belong to the data.
  size_.store(0);
  fd_.store(fd);
  data_.store(data);
  size_.store(size);
}

void write_last_words() noexcept {
  for (auto& place : places) {
    LastWords* const words = place.load();
    if (words == nullptr) { continue; }
    const std::size_t size = words->size_.exchange(0);
    if (size > 0) { write_out(words->fd_.load(), words->data_.load(), size); }
  }
}

}  // namespace stagepost::log
