// What a table type whose client library blocks (SQL, LDAP) implements: how to connect, and one lookup on a connection.
// BlockingTable (blocking_table.hpp) makes a Table of it: threads, limits, waiting and reconnecting are its business.
// Knows no coroutines: modules implement it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "maps/lookup.hpp"

namespace stagepost::maps {

/// One connection to the server (or one open database). Made, used and destroyed on one thread, for one call at a time.
class BlockingConnection {
 public:
  BlockingConnection() = default;
  BlockingConnection(const BlockingConnection&) = delete;
  BlockingConnection& operator=(const BlockingConnection&) = delete;
  virtual ~BlockingConnection() = default;

  /// Answers within the client's own time limits.
  [[nodiscard]] virtual Result<Found> find(const std::string& key) = 0;
  /// Error, by default, when the type cannot.
  [[nodiscard]] virtual Result<> put(const std::string& /*key*/, const std::string& /*value*/) {
    return failure("update operation is not supported");
  }
  [[nodiscard]] virtual Result<bool> erase(const std::string& /*key*/) {
    return failure("delete operation is not supported");
  }
  /// Table::each(). Error, by default, when the type cannot be listed.
  [[nodiscard]] virtual Result<> each(const Visit& /*visit*/) { return failure("cannot be listed"); }
  /// Asked after each call. False: this connection is closed and the next lookup makes a new one.
  [[nodiscard]] virtual bool usable() const { return true; }
};

/// The configuration of one table, read once; immutable, so that each thread may use it.
class BlockingClient {
 public:
  struct Limits {
    std::size_t connections = 2;               ///< open at once by one process for one table; at least 1
    std::size_t waiting = 1000;                ///< lookups that wait for a connection; more fail
    std::chrono::milliseconds answer{30'000};  ///< a lookup that took longer, waiting included, fails
    std::chrono::milliseconds idle{60'000};    ///< a connection unused for this long is closed
  };

  BlockingClient() = default;
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;
  virtual ~BlockingClient() = default;

  [[nodiscard]] virtual KeyKind key_kind() const { return KeyKind::fixed; }
  [[nodiscard]] virtual Limits limits() const { return {}; }
  /// The documented `domain` parameter, a match list. Not empty: only user@domain keys whose domain is in it are looked
  /// up, others are not found. The program sees to that before it calls find().
  [[nodiscard]] virtual std::string key_domains() const { return {}; }
  /// Called on the thread that will use the connection. May try several hosts; within the client's own time limits.
  [[nodiscard]] virtual Result<std::unique_ptr<BlockingConnection>> connect() const = 0;
};

}  // namespace stagepost::maps
