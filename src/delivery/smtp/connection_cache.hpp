// Sessions kept open for the next request to the same destination, within this process. Bounded in number and in time.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "delivery/smtp/session.hpp"
#include "net/fd_watch.hpp"

namespace stagepost::smtp_client {

class ConnectionCache {
 public:
  static constexpr std::size_t kSessions = 100;

  ConnectionCache(net::EventLoop& loop, const Settings& settings);

  /// A session under this key, or null. The caller checks that it still lives (Session::reset).
  [[nodiscard]] std::unique_ptr<Session> take(const std::string& key);
  /// Keeps it for smtp_connection_cache_time_limit; too old or too often used ones come back to be closed.
  [[nodiscard]] std::unique_ptr<Session> keep(std::string key, std::unique_ptr<Session> session);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Closes the one that was kept first. There must be one.
  void drop_oldest() { entries_.pop_front(); }

 private:
  struct Entry {
    std::string key;
    std::unique_ptr<Session> session;
    Deadline until;
  };
  void drop_expired();

  const Settings& settings_;
  std::list<Entry> entries_;  // oldest first; all have the same lifetime
  net::Timer timer_;
};

}  // namespace stagepost::smtp_client
