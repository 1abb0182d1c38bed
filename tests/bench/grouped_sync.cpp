// The disk's own rate of grouped commits: N writers append records to one preallocated file and wait until a shared
// fdatasync covers theirs. What a mail system that commits like this could reach at best.
//
//   grouped_sync FILE WRITERS SECONDS RECORD_BYTES      prints one line of JSON; FILE is made and removed
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace {

using namespace stagepost;

constexpr std::size_t kFileBytes = 64 * 1024 * 1024;

class Log {
 public:
  explicit Log(int fd) : fd_(fd) {}

  /// Returns when `record` is on stable storage; false when the disk failed.
  bool commit(const std::string& record) {
    std::unique_lock lock(mutex_);
    pending_ += record;
    ++records_;
    const std::uint64_t mine = ++asked_;
    work_.notify_one();
    done_.wait(lock, [&] { return synced_ >= mine || failed_; });
    return !failed_;
  }

  void run() {
    std::unique_lock lock(mutex_);
    std::string batch;
    std::size_t offset = 0;
    for (;;) {
      work_.wait(lock, [&] { return !pending_.empty() || ended_; });
      if (pending_.empty()) { return; }
      batch.swap(pending_);
      const std::uint64_t covers = asked_;
      lock.unlock();
      if (offset + batch.size() > kFileBytes) { offset = 0; }
      const bool written = sys::pwrite_all(fd_, batch, static_cast<off_t>(offset)).has_value() && ::fdatasync(fd_) == 0;
      offset += batch.size();
      batch.clear();
      lock.lock();
      failed_ = failed_ || !written;
      synced_ = covers;
      ++syncs_;
      done_.notify_all();
    }
  }

  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    work_.notify_one();
  }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_; }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  int fd_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::string pending_;
  std::uint64_t asked_ = 0;
  std::uint64_t synced_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t syncs_ = 0;
  bool ended_ = false;
  bool failed_ = false;
};

// Written, not only reserved: a first write into reserved blocks changes the file's metadata.
Result<unique_fd> preallocate(const std::string& path) {
  SP_TRY(auto fd, sys::open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  const std::string zeros(1024 * 1024, '\0');
  for (std::size_t at = 0; at < kFileBytes; at += zeros.size()) { SP_TRY(sys::write_all(fd.get(), zeros)); }
  SP_TRY(sys::fsync(fd.get()));
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: grouped_sync file writers seconds record_bytes\n");
    return 2;
  }
  const std::string path = argv[1];
  const auto writers = static_cast<unsigned>(std::atoi(argv[2]));
  const double seconds = std::atof(argv[3]);
  const std::string record(static_cast<std::size_t>(std::atoi(argv[4])), 'x');
  if (writers == 0 || seconds <= 0 || record.empty() || record.size() * writers > kFileBytes) {
    fmt::print(stderr, "grouped_sync: values out of range\n");
    return 2;
  }
  const auto fd = preallocate(path);
  if (!fd) {
    fmt::print(stderr, "grouped_sync: {}\n", fd.error().message());
    return 1;
  }
  Log log(fd->get());
  std::atomic<bool> over = false;
  std::thread committer([&] { log.run(); });
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < writers; ++i) {
    threads.emplace_back([&] {
      while (!over && log.commit(record)) {}
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  over = true;
  for (std::thread& thread : threads) { thread.join(); }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  log.end();
  committer.join();
  ::unlink(path.c_str());
  if (log.failed()) {
    fmt::print(stderr, "grouped_sync: writing failed\n");
    return 1;
  }
  fmt::print("{{\"writers\": {}, \"records\": {}, \"syncs\": {}, \"per_second\": {:.1f}}}\n", writers, log.records(),
             log.syncs(), static_cast<double>(log.records()) / took);
  return 0;
}
