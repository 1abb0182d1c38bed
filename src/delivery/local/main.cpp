// local(8): delivers to the users of this machine, and wherever their aliases and ~/.forward files say.
#include "daemon/agent_service.hpp"
#include "delivery/local/recipient_delivery.hpp"

namespace {

using namespace stagepost;

net::Task<> deliver(const local::Agent& agent, delivery::Attempt& attempt) {
  const auto recipients = attempt.pending();
  for (const auto& recipient : recipients) {
    local::RecipientDelivery delivery(agent, attempt, recipient);
    co_await delivery.run();
  }
}

net::Task<Result<>> serve(daemon::Context& context) {
  const config::Snapshot& config = *context.config();
  const auto settings = local::Settings::create(config, context.tables());
  if (!settings) { co_return std::unexpected(settings.error()); }
  clients::RewriteClient rewrite(context.loop(), config);
  clients::CleanupClient cleanup(context.loop(), config);
  local::Transports transports(context.loop());
  const local::Agent agent{context.loop(), *settings, rewrite, cleanup, transports};
  auto served = co_await daemon::serve_deliveries(
      context, [&agent](delivery::Attempt& attempt) { return deliver(agent, attempt); });
  co_return served;
}

}  // namespace

int main(int argc, char** argv) {
  daemon::Options options;
  options.name = "local";
  options.kind = daemon::Kind::isolated;
  options.user = daemon::User::root;
  options.needs.any_path = true;
  options.needs.network = true;  // tables may be on the network
  options.needs.exec = true;
  return daemon::run(argc, argv, options, serve);
}
