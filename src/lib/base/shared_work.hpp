// Work that waits for the disk, done by several threads side by side: unlink, stat, open and read of many files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace stagepost {

/// As many threads as can compute at once, at most `most`.
[[nodiscard]] inline std::size_t processors(std::size_t most) {
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, most);
}

/// Up to `threads` threads, the caller's among them, take pieces and do them until there are no more. `next` returns an
/// optional piece and runs in one thread at a time; `work(piece)` runs in all of them. Returns when all is done. A
/// second piece is what starts a second thread; where no more threads can be had, fewer do the work.
template <class Next, class Work>
void share_work(std::size_t threads, Next next, Work work) {
  std::mutex turn;
  const auto take = [&] {
    const std::scoped_lock lock(turn);
    return next();
  };
  std::vector<std::jthread> others;
  bool first = true;
  while (auto piece = take()) {
    if (!std::exchange(first, false) && others.size() + 1 < threads) {
      try {
        others.emplace_back([&] {
          while (auto mine = take()) { work(*mine); }
        });
      } catch (const std::system_error&) { threads = 1; }  // a limit; the ones there are do all of it
    }
    work(*piece);
  }
}

}  // namespace stagepost
