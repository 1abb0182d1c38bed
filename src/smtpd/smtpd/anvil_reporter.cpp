#include "smtpd/smtpd/anvil_reporter.hpp"

#include <algorithm>
#include <iterator>

#include "log/log.hpp"

namespace stagepost::smtpd {

AnvilReporter::AnvilReporter(net::EventLoop& loop, const config::Snapshot& config, net::TaskGroup& group,
                             KeepBusy keep_busy, std::string service)
    : anvil_(loop, config), group_(group), keep_busy_(std::move(keep_busy)), service_(std::move(service)) {}

void AnvilReporter::report(clients::AnvilEvent::What event, const std::string& client_address) {
  if (pending_.size() >= kPending) { return; }
  pending_.push_back({event, client_address});
  if (sending_ || group_.full()) { return; }
  sending_ = true;
  group_.spawn(send_all(keep_busy_()));
}

net::Task<> AnvilReporter::send_all([[maybe_unused]] std::shared_ptr<void> busy) {
  while (!pending_.empty()) {
    // What came while the last request was under way goes together.
    const std::size_t count = std::min(pending_.size(), clients::AnvilRequest::kMaxEvents);
    const auto end = pending_.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<clients::AnvilEvent> events(std::move_iterator(pending_.begin()), std::move_iterator(end));
    pending_.erase(pending_.begin(), end);
    const auto reported = co_await anvil_.report(service_, std::move(events));
    if (!reported) {
      // Without anvil there is nothing to count with; one line per outage.
      if (!failing_) { log::warning("anvil: {}", reported.error().message()); }
      failing_ = true;
      pending_.clear();
      break;
    }
    failing_ = false;
  }
  sending_ = false;
}

}  // namespace stagepost::smtpd
