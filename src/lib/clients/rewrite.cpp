#include "clients/rewrite.hpp"

#include "clients/endpoint.hpp"

namespace stagepost::clients {

RewriteClient::RewriteClient(net::EventLoop& loop, const config::Snapshot& config)
    : pool_(loop, private_endpoint(config, "rewrite_service_name"), pool_limits(config)),
      timeout_(config.seconds("ipc_timeout")) {}

const RewriteClient::Answer* RewriteClient::cached(const std::string& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) { return nullptr; }
  if (found->second->expires < SteadyClock::now()) {
    entries_.erase(found->second);
    index_.erase(found);
    return nullptr;
  }
  return &found->second->answer;
}

void RewriteClient::remember(std::string key, Answer answer) {
  if (index_.contains(key)) { return; }  // a second look-up of the same key ran meanwhile
  entries_.push_front({key, std::move(answer), SteadyClock::now() + kCacheTime});
  index_.emplace(std::move(key), entries_.begin());
  if (entries_.size() > kCacheEntries) {
    index_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

net::Task<Result<std::string>> RewriteClient::rewrite(RewriteContext context, std::string address) {
  std::string key = (context == RewriteContext::local ? "l" : "r") + address;
  if (const Answer* known = cached(key)) { co_return std::get<std::string>(*known); }
  auto reply = co_await pool_.call<RewriteReply>(RewriteRequest{context, std::move(address)}, within(timeout_));
  if (!reply) { co_return std::unexpected(reply.error()); }
  remember(std::move(key), reply->address);
  co_return std::move(reply->address);
}

net::Task<Result<ResolveReply>> RewriteClient::resolve(std::string sender, std::string recipient) {
  ResolveRequest request{std::move(sender), std::move(recipient), false};
  auto reply = co_await ask(std::move(request));
  co_return reply;
}

net::Task<Result<ResolveReply>> RewriteClient::resolve_for_probe(std::string sender, std::string recipient) {
  ResolveRequest request{std::move(sender), std::move(recipient), true};
  auto reply = co_await ask(std::move(request));
  co_return reply;
}

net::Task<Result<ResolveReply>> RewriteClient::ask(ResolveRequest request) {
  // NUL never occurs in an address, so the three parts cannot run into each other.
  std::string key = request.verify ? "v" : "n";
  key += request.sender;
  key += '\0';
  key += request.recipient;
  if (const Answer* known = cached(key)) { co_return std::get<ResolveReply>(*known); }
  auto reply = co_await pool_.call<ResolveReply>(std::move(request), within(timeout_));
  if (!reply) { co_return std::unexpected(reply.error()); }
  if (reply->outcome != ResolveReply::Outcome::retry) { remember(std::move(key), *reply); }
  co_return std::move(*reply);
}

}  // namespace stagepost::clients
