#include "daemon/agent_service.hpp"
#include "delivery/error/error.hpp"

namespace {

using namespace stagepost;

net::Task<> deliver(delivery::Attempt& attempt) {
  const bool retry = attempt.config().text("service_name") == "retry";
  delivery::Outcome outcome = error::outcome_for(attempt.request().nexthop, retry);
  co_await attempt.record_rest(std::move(outcome));
}

net::Task<Result<>> serve(daemon::Context& context) { return daemon::serve_deliveries(context, deliver); }

}  // namespace

int main(int argc, char** argv) {
  daemon::Options options;
  options.name = "error";
  options.needs.writes = {"active"};
  return daemon::run(argc, argv, options, serve);
}
