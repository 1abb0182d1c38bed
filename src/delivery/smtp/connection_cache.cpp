#include "delivery/smtp/connection_cache.hpp"

#include <algorithm>

namespace stagepost::smtp_client {

ConnectionCache::ConnectionCache(net::EventLoop& loop, const Settings& settings)
    : settings_(settings), timer_(loop, [this] { drop_expired(); }) {}

std::unique_ptr<Session> ConnectionCache::take(const std::string& key) {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (found == entries_.end()) { return nullptr; }
  auto session = std::move(found->session);
  entries_.erase(found);
  return session;
}

std::unique_ptr<Session> ConnectionCache::keep(std::string key, std::unique_ptr<Session> session) {
  const bool worn = settings_.reuse_count_limit > 0 && session->uses >= settings_.reuse_count_limit;
  const bool old = SteadyClock::now() - session->created >= settings_.reuse_time_limit;
  if (worn || old || !session->usable() || entries_.size() >= kSessions) { return session; }
  entries_.push_back({std::move(key), std::move(session), within(settings_.cache_time_limit)});
  timer_.set(entries_.front().until);
  return nullptr;
}

void ConnectionCache::drop_expired() {
  while (!entries_.empty() && entries_.front().until.passed()) { entries_.pop_front(); }
  if (!entries_.empty()) { timer_.set(entries_.front().until); }
}

}  // namespace stagepost::smtp_client
