// Calls that block (fsync, getpwnam, SQL clients) on the loop's thread pool, awaited like anything else.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "net/event_loop.hpp"
#include "net/task.hpp"

namespace stagepost::net {

/// Runs `job` on the pool and returns what it returns; an exception comes back too. The job takes values, returns a
/// value and touches nothing else of the process. It cannot be cancelled: the await ends when the job does.
template <class F>
Task<std::invoke_result_t<F>> run_blocking(EventLoop& loop, F job) {
  using T = std::invoke_result_t<F>;
  std::optional<T> result;
  std::exception_ptr thrown;
  co_await hand_over([&](std::coroutine_handle<> waiting) {
    submit_blocking(loop, [&loop, &job, &result, &thrown, waiting, keep = keep_running(loop)] {
      try {
        result.emplace(job());
      } catch (...) { thrown = std::current_exception(); }
      loop.post(waiting);
    });
  });
  if (thrown) { std::rethrow_exception(thrown); }
  co_return std::move(*result);
}

}  // namespace stagepost::net
