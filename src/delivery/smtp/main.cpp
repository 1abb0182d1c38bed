// smtp(8) and lmtp(8): delivers to other mail servers. The name it is run by chooses the protocol.
#include <any>
#include <memory>
#include <string_view>

#include "daemon/agent_service.hpp"
#include "delivery/smtp/agent.hpp"

namespace {

using namespace stagepost;

using ResourcesPtr = std::shared_ptr<smtp_client::Resources>;

template <smtp_client::Protocol kProtocol>
Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& tables) {
  SP_TRY(ResourcesPtr resources, smtp_client::Resources::open(config, kProtocol, tables));
  return std::any(std::move(resources));
}

net::Task<Result<>> serve_protocol(daemon::Context& context, smtp_client::Protocol protocol) {
  auto resources = std::any_cast<ResourcesPtr>(context.prepared());
  auto agent = smtp_client::Agent::create(context.loop(), context.config(), protocol, std::move(resources));
  if (!agent) { co_return std::unexpected(agent.error()); }
  // A session kept for later counts for maxproc like one in use.
  context.on_quota([&agent](std::uint32_t sessions) { (*agent)->set_connection_limit(sessions); });
  auto served = co_await daemon::serve_deliveries(
      context, [&agent](delivery::Attempt& attempt) { return (*agent)->deliver(attempt); });
  context.on_quota([](std::uint32_t) {});
  co_return served;
}

net::Task<Result<>> serve_smtp(daemon::Context& context) {
  return serve_protocol(context, smtp_client::Protocol::smtp);
}
net::Task<Result<>> serve_lmtp(daemon::Context& context) {
  return serve_protocol(context, smtp_client::Protocol::lmtp);
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name = argc > 0 ? argv[0] : "smtp";
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) { name.remove_prefix(slash + 1); }
  const bool lmtp = name == "lmtp";
  daemon::Options options;
  options.name = lmtp ? "lmtp" : "smtp";
  options.kind = daemon::Kind::pooled;
  options.user = daemon::User::mail_owner;
  options.set_up_first = true;
  options.needs.network = true;
  options.needs.writes = {"active"};
  options.prepare = lmtp ? prepare<smtp_client::Protocol::lmtp> : prepare<smtp_client::Protocol::smtp>;
  return daemon::run(argc, argv, options, lmtp ? serve_lmtp : serve_smtp);
}
