#include "clients/bounce.hpp"

#include "clients/endpoint.hpp"

namespace stagepost::clients {

BounceClient::BounceClient(net::EventLoop& loop, const config::Snapshot& config)
    : bounce_(loop, private_endpoint(config, "bounce_service_name"), pool_limits(config)),
      defer_(loop, private_endpoint(config, "defer_service_name"), pool_limits(config)),
      trace_(loop, private_endpoint(config, "trace_service_name"), pool_limits(config)),
      timeout_(config.seconds("ipc_timeout")) {}

ipc::ClientPool& BounceClient::pool(ReportLog log) {
  switch (log) {
    case ReportLog::bounce:
      return bounce_;
    case ReportLog::defer:
      return defer_;
    case ReportLog::trace:
      return trace_;
  }
  return bounce_;
}

template <class Request>
net::Task<Result<>> BounceClient::ask(ipc::ClientPool& service, Request request) {
  const auto ack = co_await service.call<Ack>(std::move(request), within(timeout_));
  if (!ack) { co_return std::unexpected(ack.error()); }
  if (!ack->ok) { co_return failure(service.path() + ": " + ack->text, std::errc::io_error); }
  co_return Result<>{};
}

net::Task<Result<>> BounceClient::append(ReportLog log, BounceAppend request) {
  return ask(pool(log), std::move(request));
}

net::Task<Result<>> BounceClient::flush(ReportLog log, BounceFlush::What what, ReportedMessage message) {
  return ask(pool(log), BounceFlush{what, std::move(message)});
}

net::Task<Result<>> BounceClient::bounce_one(BounceOne request) { return ask(bounce_, std::move(request)); }

}  // namespace stagepost::clients
