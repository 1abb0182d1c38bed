// discard(8): drops mail as if it had been delivered; the nexthop is the text of the log line.
#include "daemon/agent_service.hpp"

namespace {

using namespace stagepost;

net::Task<> deliver(delivery::Attempt& attempt) {
  delivery::Outcome outcome;
  outcome.status = dsn::split_status(attempt.request().nexthop, "2.0.0");
  if (!outcome.status.is_success()) { outcome.status.code = "2.0.0"; }
  co_await attempt.record_rest(std::move(outcome));
}

net::Task<Result<>> serve(daemon::Context& context) { return daemon::serve_deliveries(context, deliver); }

}  // namespace

int main(int argc, char** argv) {
  daemon::Options options;
  options.name = "discard";
  options.needs.writes = {"active"};
  return daemon::run(argc, argv, options, serve);
}
