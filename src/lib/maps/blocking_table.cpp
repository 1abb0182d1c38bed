// See blocking_table.hpp.
#include "maps/blocking_table.hpp"

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "net/event.hpp"

namespace stagepost::maps {
namespace {

/// Signals are the event loop's business: a thread started while one of these lives never sees any.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// A client library's wrapper may throw (bad_alloc); the thread that runs it must not end of that.
template <class T, class Call>
Result<T> guarded(const Call& call, BlockingConnection& connection) {
  try {
    return call(connection);
  } catch (const std::exception& thrown) {
    return failure(fmt::format("unexpected failure: {}", thrown.what()), std::errc::not_enough_memory);
  }
}

}  // namespace

/// The queue and those who work it off.
class BlockingTable::Threads {
 public:
  struct Job {
    std::shared_ptr<const std::atomic<bool>> abandoned;
    /// Called on a thread, with a connection or the reason why there is none.
    std::function<void(const Result<BlockingConnection*>& connection)> run;
  };

  explicit Threads(std::shared_ptr<const BlockingClient> client)
      : client_(std::move(client)), limits_(client_->limits()) {}
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  ~Threads() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) { thread.join(); }
  }

  [[nodiscard]] const BlockingClient::Limits& limits() const { return limits_; }

  [[nodiscard]] Result<> submit(Job job) {
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.size() >= limits_.waiting) {
        return failure(fmt::format("{} lookups are waiting for the server", jobs_.size()),
                       std::errc::resource_unavailable_try_again);
      }
      jobs_.push_back(std::move(job));
      const bool busy = idle_ < jobs_.size();
      if (busy && threads_.size() < std::max<std::size_t>(limits_.connections, 1)) {
        if (auto started = start(); !started && threads_.empty()) {
          jobs_.pop_back();
          return started;
        }
      }
    }
    changed_.notify_one();
    return {};
  }

 private:
  Result<> start() {
    const SignalsBlocked blocked;
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) { return errno_failure(error.code().value(), "start a thread"); }
    return {};
  }

  void work() {
    std::unique_ptr<BlockingConnection> connection;
    while (std::optional<Job> job = next(connection)) {
      if (job->abandoned->load()) { continue; }
      Result<BlockingConnection*> ready = connection.get();
      if (!connection) {
        auto made = client_->connect();
        if (made) {
          connection = *std::move(made);
          ready = connection.get();
        } else {
          ready = std::unexpected(std::move(made).error());
        }
      }
      job->run(ready);
      if (connection && !connection->usable()) { connection.reset(); }
    }
  }

  /// The next job; nullopt when the table goes away. Closes `connection` after it was idle too long.
  std::optional<Job> next(std::unique_ptr<BlockingConnection>& connection) {
    std::unique_lock lock(mutex_);
    const auto something = [this] { return stopping_ || !jobs_.empty(); };
    ++idle_;
    if (connection && !changed_.wait_for(lock, limits_.idle, something)) {
      lock.unlock();
      connection.reset();
      lock.lock();
    }
    changed_.wait(lock, something);
    --idle_;
    if (stopping_) { return std::nullopt; }
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  std::shared_ptr<const BlockingClient> client_;
  BlockingClient::Limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

BlockingTable::BlockingTable(std::string name, std::shared_ptr<const BlockingClient> client, net::EventLoop* loop)
    : Table(std::move(name), client->key_kind()), client_(std::move(client)), loop_(loop) {
  if (loop_ != nullptr) { threads_ = std::make_unique<Threads>(client_); }
}

BlockingTable::~BlockingTable() = default;

template <class T>
Result<T> BlockingTable::call_here(const Call<T>& call) {
  if (!here_) { SP_TRY(here_, client_->connect()); }
  Result<T> result = guarded<T>(call, *here_);
  if (!here_->usable()) { here_.reset(); }
  return result;
}

/// What a waiting coroutine and the thread that answers it share. All but `abandoned` belongs to the loop's thread.
template <class T>
struct Pending {
  std::atomic<bool> abandoned = false;
  std::optional<Result<T>> answer;
  net::Event* answered = nullptr;
};

template <class T>
net::Task<Result<T>> BlockingTable::call(Call<T> call) {
  if (loop_ == nullptr) {
    auto result = call_here<T>(call);
    co_return result;
  }
  net::Event answered(*loop_);
  auto pending = std::make_shared<Pending<T>>();
  pending->answered = &answered;
  const auto run = [pending, call = std::move(call),
                    loop = loop_](const Result<BlockingConnection*>& connection) mutable {
    Result<T> result = connection ? guarded<T>(call, **connection) : Result<T>(std::unexpected(connection.error()));
    loop->post([pending = std::move(pending), result = std::move(result)]() mutable {
      pending->answer = std::move(result);
      if (pending->answered != nullptr) { pending->answered->notify_all(); }
    });
  };
  const std::shared_ptr<const std::atomic<bool>> abandoned(pending, &pending->abandoned);
  if (auto queued = threads_->submit({.abandoned = abandoned, .run = run}); !queued) {
    co_return std::unexpected(std::move(queued).error());
  }
  const Deadline deadline = within(threads_->limits().answer);
  while (!pending->answer) {
    auto woken = co_await answered.wait(deadline);
    if (!woken && !pending->answer) {
      pending->abandoned = true;
      pending->answered = nullptr;
      co_return std::unexpected(std::move(woken).error().within("no answer in time"));
    }
  }
  pending->answered = nullptr;
  co_return *std::move(pending->answer);
}

std::optional<Result<Found>> BlockingTable::find_now(std::string_view key) {
  if (loop_ != nullptr) { return std::nullopt; }
  auto found = call_here<Found>([&](BlockingConnection& connection) { return connection.find(std::string(key)); });
  return found;
}

net::Task<Result<Found>> BlockingTable::find(std::string key) {
  Call<Found> look = [key = std::move(key)](BlockingConnection& connection) { return connection.find(key); };
  auto found = co_await call<Found>(std::move(look));
  co_return found;
}

Result<> BlockingTable::each(const Visit& visit) {
  SP_TRY(const auto connection, client_->connect());
  if (auto listed = connection->each(visit); !listed) {
    return std::unexpected(std::move(listed).error().within(name()));
  }
  return {};
}

net::Task<Result<>> BlockingTable::put(std::string key, std::string value) {
  Call<void> store = [key = std::move(key), value = std::move(value)](BlockingConnection& connection) {
    return connection.put(key, value);
  };
  auto stored = co_await call<void>(std::move(store));
  if (!stored) { co_return std::unexpected(std::move(stored).error().within(name())); }
  co_return stored;
}

net::Task<Result<bool>> BlockingTable::erase(std::string key) {
  Call<bool> remove = [key = std::move(key)](BlockingConnection& connection) { return connection.erase(key); };
  auto removed = co_await call<bool>(std::move(remove));
  if (!removed) { co_return std::unexpected(std::move(removed).error().within(name())); }
  co_return removed;
}

}  // namespace stagepost::maps
