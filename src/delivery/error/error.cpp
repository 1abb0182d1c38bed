#include "delivery/error/error.hpp"

#include "base/text.hpp"
#include "mail/dsn.hpp"

namespace stagepost::error {

delivery::Outcome outcome_for(std::string_view nexthop, bool service_is_retry) {
  const std::string_view default_code = service_is_retry ? "4.0.0" : "5.0.0";
  delivery::Outcome outcome;
  outcome.status = dsn::split_status(nexthop, default_code);
  outcome.kind = service_is_retry || outcome.status.is_temporary() ? delivery::Kind::deferred : delivery::Kind::bounced;
  // The code's class says what is done, whatever the text claims.
  outcome.status.code = dsn::with_class(outcome.status.code, outcome.kind == delivery::Kind::deferred ? '4' : '5');
  return outcome;
}

}  // namespace stagepost::error
