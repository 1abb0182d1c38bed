#include "services/trivial_rewrite/service.hpp"

#include "base/text.hpp"
#include "clients/rewrite.hpp"
#include "config/compatibility_level.hpp"
#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "mail/rewrite.hpp"
#include "net/error.hpp"
#include "services/trivial_rewrite/resolver.hpp"
#include "services/trivial_rewrite/tables.hpp"

namespace stagepost::trivial_rewrite {
namespace {

/// What one process shares between its sessions.
struct Shared {
  config::SnapshotPtr config;
  std::unique_ptr<Tables> tables;
  std::unique_ptr<Tables> verify_tables;
  ResolverRules rules;
  ResolverRules verify_rules;
  mail::RewriteOptions local;
  mail::RewriteOptions remote;
  bool old_append_dot_mydomain = false;  ///< append_dot_mydomain=yes because of a low compatibility_level
};

mail::RewriteOptions rewrite_options(const config::Snapshot& config, clients::RewriteContext context) {
  const bool local = context == clients::RewriteContext::local;
  const std::string& remote_domain = config.text("remote_header_rewrite_domain");
  return {.swap_bangpath = config.boolean("swap_bangpath"),
          .allow_percent_hack = config.boolean("allow_percent_hack"),
          .append_at_myorigin = config.boolean("append_at_myorigin"),
          .append_dot_mydomain = config.boolean("append_dot_mydomain"),
          .myorigin = local ? config.text("myorigin") : remote_domain,
          .mydomain = local ? config.text("mydomain") : remote_domain};
}

/// COMPATIBILITY_README: tells where append_dot_mydomain=yes, which nobody asked for, made `rewritten`.
net::Task<> note_old_default(Shared& shared, std::string address, std::string rewritten, mail::RewriteOptions options) {
  options.append_dot_mydomain = false;
  const std::string plain = mail::rewrite_address(address, options);
  const std::size_t at = plain.rfind('@');
  if (plain == rewritten || at == std::string::npos) { co_return; }
  const std::string domain = plain.substr(at + 1);
  const bool localhost = text::iequals(domain, "localhost");
  if (localhost) {
    const auto listed = co_await shared.tables->is_local(domain);
    if (listed && *listed) { co_return; }
  }
  log::info("using backwards-compatible default setting append_dot_mydomain=yes to rewrite \"{0}\" to \"{0}.{1}\"{2}",
            domain, options.mydomain,
            localhost ? "; please add \"localhost\" to mydestination or other address class" : "");
}

net::Task<Result<>> answer(Shared& shared, ipc::Channel& channel, ipc::Frame frame, Deadline deadline) {
  if (frame.is<clients::RewriteRequest>()) {
    const auto request = frame.as<clients::RewriteRequest>();
    if (!request) { co_return std::unexpected(request.error()); }
    const bool local = request->context == clients::RewriteContext::local;
    clients::RewriteReply reply;
    reply.address = mail::rewrite_address(request->address, local ? shared.local : shared.remote);
    if (shared.old_append_dot_mydomain) {
      co_await note_old_default(shared, request->address, reply.address, local ? shared.local : shared.remote);
    }
    auto sent = co_await channel.send(reply, deadline);
    co_return sent;
  }
  if (frame.is<clients::ResolveManyRequest>()) {
    const auto request = frame.as<clients::ResolveManyRequest>();
    if (!request) { co_return std::unexpected(request.error()); }
    if (request->recipients.size() > clients::ResolveManyRequest::kMaxRecipients) {
      co_return failure("too many recipients in one request", std::errc::bad_message);
    }
    clients::ResolveManyReply reply;
    for (const std::string& recipient : request->recipients) {
      auto found = co_await resolve(shared.rules, *shared.tables, request->sender, recipient);
      reply.answers.push_back(std::move(found));
    }
    auto sent = co_await channel.send(reply, deadline);
    co_return sent;
  }
  const auto request = frame.as<clients::ResolveRequest>();
  if (!request) { co_return std::unexpected(request.error()); }
  auto reply =
      co_await resolve(request->verify ? shared.verify_rules : shared.rules,
                       request->verify ? *shared.verify_tables : *shared.tables, request->sender, request->recipient);
  auto sent = co_await channel.send(reply, deadline);
  co_return sent;
}

net::Task<> serve_client(Shared& shared, net::AcceptedConnection connection, daemon::SessionContext& session) {
  ipc::Channel channel(std::move(connection.stream));
  const auto timeout = shared.config->seconds("ipc_timeout");
  for (;;) {
    const auto ready = co_await session.wait_request(channel, Deadline::never());
    if (!ready) { co_return; }
    const Deadline deadline = within(timeout);
    const auto frame = co_await channel.receive(deadline);
    Result<> answered;
    if (frame) {
      answered = co_await answer(shared, channel, *frame, deadline);
    } else {
      answered = std::unexpected(frame.error());
    }
    if (!answered) {
      if (answered.error().code != net::Errc::end_of_stream) { log::warning("client: {}", answered.error().message()); }
      co_return;
    }
  }
}

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  Shared shared;
  shared.config = context.config();
  const config::Snapshot& config = *shared.config;
  SP_CO_TRY(shared.tables, Tables::create(shared.config, Purpose::mail, context.tables()));
  SP_CO_TRY(shared.verify_tables, Tables::create(shared.config, Purpose::verify, context.tables()));
  shared.rules = read_rules(config, Purpose::mail);
  shared.verify_rules = read_rules(config, Purpose::verify);
  shared.old_append_dot_mydomain = config::uses_old_default(config, "append_dot_mydomain");
  shared.local = rewrite_options(config, clients::RewriteContext::local);
  shared.remote = rewrite_options(config, clients::RewriteContext::remote);
  daemon::SessionHandler handler = [&shared](net::AcceptedConnection connection, daemon::SessionContext& session) {
    return serve_client(shared, std::move(connection), session);
  };
  auto served = co_await context.serve_sessions(std::move(handler));
  co_return served;
}

}  // namespace stagepost::trivial_rewrite
