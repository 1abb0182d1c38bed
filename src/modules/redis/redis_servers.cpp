// See redis_servers.hpp.
#include "redis_servers.hpp"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "cluster_slot.hpp"

namespace stagepost::maps::redis {
namespace {

/// A cluster larger than this costs new connections.
constexpr std::size_t kNodeLimit = 64;
/// Redirects and lost nodes that one command survives.
constexpr int kClusterSteps = 12;
constexpr std::chrono::milliseconds kTryAgainPause{50};

/// The server cannot answer now; another one might.
bool is_indisposed(const Reply& reply) {
  return reply.is_error("LOADING") || reply.is_error("MASTERDOWN") || reply.is_error("READONLY");
}

Error said(const RedisNode& node, const Reply& reply) {
  return failure(fmt::format("{}: {}", node.server().text(), printable(reply.text))).error();
}

}  // namespace

HostHealth::HostHealth(std::size_t hosts, std::chrono::seconds retry_interval)
    : failed_at_(hosts), retry_interval_(retry_interval) {}

std::vector<std::size_t> HostHealth::order() const {
  const auto now = SteadyClock::now().time_since_epoch();
  std::vector<std::size_t> hosts;
  std::vector<std::size_t> later;
  for (std::size_t host = 0; host < failed_at_.size(); ++host) {
    const SteadyClock::rep at = failed_at_[host].load();
    const bool failed_lately = at != 0 && now - SteadyClock::duration(at) < retry_interval_;
    (failed_lately ? later : hosts).push_back(host);
  }
  hosts.insert(hosts.end(), later.begin(), later.end());
  return hosts;
}

void HostHealth::failed(std::size_t host) { failed_at_[host] = SteadyClock::now().time_since_epoch().count(); }
void HostHealth::answered(std::size_t host) { failed_at_[host] = 0; }

std::chrono::seconds ServerSettings::total_time() const {
  const auto tries = static_cast<std::chrono::seconds::rep>(hosts.size() + 1);
  return std::max(std::chrono::seconds(30), std::min(2 * tries * timeout, std::chrono::seconds(600)));
}

Result<Reply> RedisServers::ask(const std::vector<std::string>& command, const std::string& key) {
  return settings_.topology == Topology::cluster ? ask_cluster(command, key) : ask_server(command);
}

Result<Reply> RedisServers::ask_server(const std::vector<std::string>& command) {
  const Deadline deadline = within(settings_.total_time());
  bool stale_excused = false;
  for (std::size_t tries = 1;; ++tries) {
    const bool reused = server_ != nullptr;
    if (!reused) { SP_TRY(find_server(deadline)); }
    auto reply = server_->call(command);
    if (reply && !is_indisposed(*reply)) {
      if (settings_.topology == Topology::hosts) { settings_.health->answered(server_host_); }
      return reply;
    }
    // Restarted, or tired of an idle connection: that says nothing against the server.
    const bool stale = !reply && reused && !stale_excused && reply.error().is(std::errc::connection_reset);
    Error why = reply ? said(*server_, *reply) : std::move(reply).error();
    lose_server(!stale);
    if (stale) {
      stale_excused = true;
      --tries;
    } else if (tries > settings_.hosts.size() || deadline.passed() ||
               (settings_.hosts.size() == 1 && settings_.topology == Topology::hosts)) {
      return std::unexpected(std::move(why));
    }
  }
}

void RedisServers::lose_server(bool its_fault) {
  if (its_fault && settings_.topology == Topology::hosts) { settings_.health->failed(server_host_); }
  server_.reset();
}

Result<> RedisServers::find_server(Deadline deadline) {
  std::optional<Error> first;
  for (const std::size_t host : settings_.health->order()) {
    const PeerAddress& address = settings_.hosts[host];
    Result<NodePtr> node = settings_.topology == Topology::sentinel
                               ? connect_master(address)
                               : RedisNode::connect(address, settings_.login, settings_.tls.get(), settings_.timeout);
    if (node) {
      server_ = *std::move(node);
      server_host_ = host;
      settings_.health->answered(host);
      return {};
    }
    settings_.health->failed(host);
    if (!first) { first = std::move(node).error(); }
    if (deadline.passed()) { break; }
  }
  return first ? Result<>(std::unexpected(*std::move(first))) : Result<>(failure("no server is configured"));
}

/// Redis Sentinel client guidelines: ask for the address, connect, and check that it is a master (Sentinels learn of a
/// failover at different moments).
Result<RedisServers::NodePtr> RedisServers::connect_master(const PeerAddress& sentinel) {
  SP_TRY(const NodePtr asked,
         RedisNode::connect(sentinel, settings_.sentinel_login, settings_.tls.get(), settings_.timeout));
  SP_TRY(const Reply answer, asked->call({"SENTINEL", "get-master-addr-by-name", settings_.sentinel_master}));
  if (answer.kind == Reply::Kind::error) { return std::unexpected(said(*asked, answer)); }
  if (answer.kind != Reply::Kind::array || answer.elements.size() != 2 || answer.elements[0].text.empty() ||
      answer.elements[1].text.empty() || answer.elements[0].text.contains('\0')) {
    return failure(fmt::format("Sentinel {} knows no master \"{}\"", sentinel.text(), settings_.sentinel_master),
                   std::errc::host_unreachable);
  }
  const PeerAddress address{.local = false, .host = answer.elements[0].text, .port = answer.elements[1].text};
  SP_TRY(NodePtr master, RedisNode::connect(address, settings_.login, settings_.tls.get(), settings_.timeout));
  SP_TRY(const Reply role, master->call({"ROLE"}));
  // A user who may not ask for the role is let off.
  if (role.kind == Reply::Kind::array && !role.elements.empty() && role.elements[0].text != "master") {
    return failure(fmt::format("{} is not a master, although Sentinel {} says so", address.text(), sentinel.text()));
  }
  return master;
}

Result<Reply> RedisServers::ask_cluster(const std::vector<std::string>& command, const std::string& key) {
  const Deadline deadline = within(settings_.total_time());
  const std::uint16_t slot = slot_of(key);
  std::optional<PeerAddress> target;
  if (const auto known = slots_.find(slot); known != slots_.end()) { target = known->second; }
  bool asking = false;
  std::string lost;
  std::optional<Error> why;
  for (int step = 0; step < kClusterSteps && !deadline.passed(); ++step) {
    auto found = target ? node_at(*target) : any_node(lost);
    if (!found) {
      why = std::move(found).error();
      // Without one seed that answers there is nobody to ask for another way.
      if (!target) { break; }
      lost = target->text();
      lose_node(lost);
      target.reset();
      asking = false;
      continue;
    }
    RedisNode& node = **found;
    Result<Reply> reply = asking ? node.call({"ASKING"}) : Reply{};
    if (reply) { reply = node.call(command); }
    if (!reply || is_indisposed(*reply)) {
      why = reply ? said(node, *reply) : std::move(reply).error();
      lost = node.server().text();
      lose_node(lost);
      target.reset();
      asking = false;
      continue;
    }
    if (reply->is_error("TRYAGAIN")) {
      why = said(node, *reply);
      std::this_thread::sleep_for(kTryAgainPause);
      continue;
    }
    const auto redirect = reply->kind == Reply::Kind::error ? parse_redirect(reply->text) : std::nullopt;
    if (!redirect) {
      if (reply->is_error("CLUSTERDOWN")) { return std::unexpected(said(node, *reply)); }
      return reply;
    }
    why = said(node, *reply);
    target = PeerAddress{
        .local = false, .host = redirect->host.empty() ? node.server().host : redirect->host, .port = redirect->port};
    asking = redirect->once;
    if (!asking) { slots_.insert_or_assign(redirect->slot, *target); }
  }
  if (!why) { return failure("no answer from the cluster in time", std::errc::timed_out); }
  return std::unexpected(*std::move(why));
}

Result<RedisNode*> RedisServers::node_at(const PeerAddress& address) {
  const std::string name = address.text();
  if (const auto known = nodes_.find(name); known != nodes_.end()) { return known->second.get(); }
  SP_TRY(NodePtr node, RedisNode::connect(address, settings_.login, settings_.tls.get(), settings_.timeout));
  if (nodes_.size() >= kNodeLimit) { nodes_.clear(); }
  return nodes_.insert_or_assign(name, std::move(node)).first->second.get();
}

/// A node that is connected, or a seed; not `but`, which was just lost, unless there is no other.
Result<RedisNode*> RedisServers::any_node(const std::string& but) {
  if (!nodes_.empty()) { return nodes_.begin()->second.get(); }
  Result<RedisNode*> found = failure("no server is configured");
  std::optional<Error> first;
  for (const bool second_choice : {false, true}) {
    for (const std::size_t host : settings_.health->order()) {
      if ((settings_.hosts[host].text() == but) != second_choice) { continue; }
      found = node_at(settings_.hosts[host]);
      if (found) {
        settings_.health->answered(host);
        return found;
      }
      settings_.health->failed(host);
      if (!first) { first = found.error(); }
    }
  }
  return first ? Result<RedisNode*>(std::unexpected(*std::move(first))) : found;
}

void RedisServers::lose_node(const std::string& address) {
  nodes_.erase(address);
  std::erase_if(slots_, [&](const auto& entry) { return entry.second.text() == address; });
}

}  // namespace stagepost::maps::redis
