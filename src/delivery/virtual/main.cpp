// virtual(8): delivers to mailboxes that tables name, as the users those tables name.
#include "daemon/agent_service.hpp"
#include "delivery/virtual/deliver.hpp"

namespace {

using namespace stagepost;

struct Agent {
  virtual_agent::MailboxLookup mailboxes;
  delivery::LockPolicy locks;

  net::Task<> deliver(delivery::Attempt& attempt) const {
    const auto recipients = attempt.pending();
    for (const auto& recipient : recipients) {
      auto mailbox = co_await mailboxes.find(recipient.address);
      delivery::Outcome outcome =
          mailbox ? virtual_agent::deliver_to(*mailbox, attempt, recipient, locks) : std::move(mailbox.error());
      [[maybe_unused]] const auto kind = co_await attempt.record(recipient, std::move(outcome));
    }
  }
};

net::Task<Result<>> serve(daemon::Context& context) {
  const config::Snapshot& config = *context.config();
  auto mailboxes = virtual_agent::MailboxLookup::create(config, context.tables());
  if (!mailboxes) { co_return std::unexpected(mailboxes.error()); }
  auto styles = delivery::parse_lock_styles(config.text("virtual_mailbox_lock"), "virtual_mailbox_lock");
  if (!styles) { co_return std::unexpected(std::move(styles.error()).within("virtual_mailbox_lock")); }
  const Agent agent{std::move(*mailboxes),
                    {.styles = std::move(*styles),
                     .attempts = static_cast<unsigned>(config.integer("deliver_lock_attempts")),
                     .delay = config.seconds("deliver_lock_delay"),
                     .stale_lock_time = config.seconds("stale_lock_time")}};
  auto served = co_await daemon::serve_deliveries(
      context, [&agent](delivery::Attempt& attempt) { return agent.deliver(attempt); });
  co_return served;
}

}  // namespace

int main(int argc, char** argv) {
  daemon::Options options;
  options.name = "virtual";
  options.kind = daemon::Kind::isolated;
  options.user = daemon::User::root;
  options.needs.any_path = true;
  options.needs.network = true;  // tables may be on the network
  return daemon::run(argc, argv, options, serve);
}
