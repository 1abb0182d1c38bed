#include "clients/rewrite.hpp"

#include <algorithm>

#include "clients/endpoint.hpp"

namespace stagepost::clients {

namespace {

std::string resolve_key(char kind, std::string_view sender, std::string_view recipient) {
  // NUL never occurs in an address, so the parts cannot run into each other.
  std::string key(1, kind);
  key.append(sender).append(1, '\0').append(recipient);
  return key;
}

}  // namespace

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

void RewriteClient::remember(std::string key, const ResolveReply& reply) {
  if (reply.outcome != ResolveReply::Outcome::retry) { remember(std::move(key), Answer(reply)); }
}

net::Task<Result<std::string>> RewriteClient::rewrite(RewriteContext context, std::string address) {
  std::string key = (context == RewriteContext::local ? "l" : "r") + address;
  if (const Answer* known = cached(key)) { co_return std::get<std::string>(*known); }
  auto reply = co_await pool_.call<RewriteReply>(RewriteRequest{context, std::move(address)}, within(timeout_));
  if (!reply) { co_return std::unexpected(reply.error()); }
  remember(std::move(key), Answer(reply->address));
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

net::Task<Result<std::vector<ResolveReply>>> RewriteClient::resolve_all(std::string sender,
                                                                        std::vector<std::string> recipients) {
  std::vector<ResolveReply> answers(recipients.size());
  std::vector<std::size_t> open;  // positions without an answer yet
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    if (const Answer* known = cached(resolve_key('n', sender, recipients[i]))) {
      answers[i] = std::get<ResolveReply>(*known);
    } else {
      open.push_back(i);
    }
  }
  for (std::size_t start = 0; start < open.size(); start += ResolveManyRequest::kMaxRecipients) {
    const std::size_t end = std::min(open.size(), start + ResolveManyRequest::kMaxRecipients);
    ResolveManyRequest request{sender, {}};
    for (std::size_t i = start; i < end; ++i) { request.recipients.push_back(recipients[open[i]]); }
    auto reply = co_await pool_.call<ResolveManyReply>(std::move(request), within(timeout_));
    if (!reply) { co_return std::unexpected(reply.error()); }
    if (reply->answers.size() != end - start) {
      co_return failure("address resolver: wrong number of answers", std::errc::bad_message);
    }
    for (std::size_t i = start; i < end; ++i) {
      ResolveReply& answer = reply->answers[i - start];
      remember(resolve_key('n', sender, recipients[open[i]]), answer);
      answers[open[i]] = std::move(answer);
    }
  }
  co_return answers;
}

net::Task<Result<ResolveReply>> RewriteClient::ask(ResolveRequest request) {
  std::string key = resolve_key(request.verify ? 'v' : 'n', request.sender, request.recipient);
  if (const Answer* known = cached(key)) { co_return std::get<ResolveReply>(*known); }
  auto reply = co_await pool_.call<ResolveReply>(std::move(request), within(timeout_));
  if (!reply) { co_return std::unexpected(reply.error()); }
  remember(std::move(key), *reply);
  co_return std::move(*reply);
}

}  // namespace stagepost::clients
