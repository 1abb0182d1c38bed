// Makes a Table of a client library that blocks: a bounded number of threads, each with a connection of its own, take
// lookups from one queue, so that a slow server makes only its own lookups wait. Threads start with the first lookups.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "maps/blocking_client.hpp"
#include "maps/table.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {

class BlockingTable final : public Table {
 public:
  /// `loop` outlives the table. Null: there is nobody to keep waiting (a command), lookups are made by find_now() on
  /// the caller's thread.
  BlockingTable(std::string name, std::shared_ptr<const BlockingClient> client, net::EventLoop* loop);
  /// Waits for the call that each thread is in.
  ~BlockingTable() override;

  [[nodiscard]] bool immediate() const override { return loop_ == nullptr; }
  [[nodiscard]] std::optional<Result<Found>> find_now(std::string_view key) override;
  /// Temporary errors: the client's; timed_out after Limits::answer; too many lookups are waiting.
  [[nodiscard]] net::Task<Result<Found>> find(std::string key) override;
  /// On a connection of its own, on the caller's thread, which waits.
  [[nodiscard]] Result<> each(const Visit& visit) override;
  [[nodiscard]] net::Task<Result<>> put(std::string key, std::string value) override;
  [[nodiscard]] net::Task<Result<bool>> erase(std::string key) override;

 private:
  class Threads;
  template <class T>
  using Call = std::function<Result<T>(BlockingConnection& connection)>;
  template <class T>
  Result<T> call_here(const Call<T>& call);
  template <class T>
  net::Task<Result<T>> call(Call<T> call);

  std::shared_ptr<const BlockingClient> client_;
  net::EventLoop* loop_;
  std::unique_ptr<BlockingConnection> here_;  ///< of find_now()
  std::unique_ptr<Threads> threads_;
};

}  // namespace stagepost::maps
