#include "services/anvil/counters.hpp"

#include <fmt/format.h>

namespace stagepost::anvil {
namespace {

std::string time_stamp(std::time_t when) {
  std::tm local{};
  ::localtime_r(&when, &local);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
  return stamp;
}

}  // namespace

void Counters::note(const char* what, std::uint32_t value, const std::string& who) {
  Peak& peak = peaks_[what];
  if (value > peak.value) { peak = {value, who, std::time(nullptr)}; }
}

void Counters::make_room(Time now) {
  if (clients_.size() < kMaxClients) { return; }
  expire(now);
  // All are recent: forgetting any of them forgives that client some events, which beats running out of memory.
  for (auto it = clients_.begin(); clients_.size() >= kMaxClients && it != clients_.end();) {
    it = it->second.connections == 0 ? clients_.erase(it) : std::next(it);
  }
}

clients::AnvilReply Counters::count(Event event, std::string_view service, std::string_view client, int process,
                                    Time now) {
  const std::string who = std::string(service) + ":" + std::string(client);
  auto found = clients_.find(who);
  if (found == clients_.end()) {
    if (event == Event::look_up || event == Event::disconnect) { return {}; }
    make_room(now);
    found = clients_.emplace(who, Client{.since = now}).first;
    note("cache size", static_cast<std::uint32_t>(clients_.size()), {});
  }
  Client& c = found->second;
  if (now - c.since >= unit_) { c = Client{.connections = c.connections, .since = now}; }
  switch (event) {
    case Event::connect:
      ++c.connections;
      ++open_[process][who];
      note("connection rate", ++c.connects, who);
      note("connection count", c.connections, who);
      break;
    case Event::disconnect: {
      const auto holder = open_.find(process);
      if (holder == open_.end()) { break; }
      const auto pair = holder->second.find(who);
      if (pair == holder->second.end()) { break; }
      if (c.connections > 0) { --c.connections; }
      if (--pair->second == 0) { holder->second.erase(pair); }
      if (holder->second.empty()) { open_.erase(holder); }
      break;
    }
    case Event::message:
      note("message rate", ++c.messages, who);
      break;
    case Event::recipient:
      note("recipient rate", ++c.recipients, who);
      break;
    case Event::new_tls:
      note("newtls rate", ++c.new_tls, who);
      break;
    case Event::auth:
      note("auth rate", ++c.auth, who);
      break;
    case Event::look_up:
      break;
  }
  return {c.connections, c.connects, c.messages, c.recipients, c.new_tls, c.auth};
}

void Counters::forget_process(int process) {
  const auto holder = open_.find(process);
  if (holder == open_.end()) { return; }
  for (const auto& [who, connections] : holder->second) {
    const auto found = clients_.find(who);
    if (found != clients_.end()) { found->second.connections -= std::min(connections, found->second.connections); }
  }
  open_.erase(holder);
}

std::vector<int> Counters::processes() const {
  std::vector<int> result;
  for (const auto& [process, pairs] : open_) { result.push_back(process); }
  return result;
}

void Counters::expire(Time now) {
  std::erase_if(clients_,
                [&](const auto& entry) { return entry.second.connections == 0 && now - entry.second.since >= unit_; });
}

std::vector<std::string> Counters::take_statistics() {
  std::vector<std::string> lines;
  for (const char* what : {"connection rate", "connection count", "message rate", "recipient rate", "newtls rate",
                           "auth rate", "cache size"}) {
    const auto found = peaks_.find(what);
    if (found == peaks_.end()) { continue; }
    const Peak& peak = found->second;
    const std::string when = time_stamp(peak.when);
    const std::string value = std::string_view(what).ends_with("rate")
                                  ? fmt::format("{}/{}s", peak.value, unit_.count())
                                  : fmt::format("{}", peak.value);
    lines.push_back(peak.who.empty()
                        ? fmt::format("statistics: max {} {} at {}", what, value, when)
                        : fmt::format("statistics: max {} {} for ({}) at {}", what, value, peak.who, when));
  }
  peaks_.clear();
  return lines;
}

}  // namespace stagepost::anvil
