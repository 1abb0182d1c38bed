// socketmap:inet:host:port:name and socketmap:unix:path:name, see network_tables.hpp. The protocol itself is in
// socketmap_protocol.hpp.
#include <chrono>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "maps/network_tables.hpp"
#include "maps/server_connections.hpp"
#include "maps/socketmap_protocol.hpp"
#include "net/error.hpp"

namespace stagepost::maps {
namespace {

/// For a whole exchange, waiting for a free connection included.
constexpr std::chrono::seconds kTimeLimit{100};
constexpr std::chrono::seconds kIdle{10};
constexpr std::chrono::seconds kAge{100};

class SocketmapTable final : public Table {
 public:
  SocketmapTable(std::string name, ServerAddress address, std::string map_name, const OpenContext& context)
      : Table(std::move(name), KeyKind::pattern),
        map_name_(std::move(map_name)),
        reply_limit_(context.socketmap_reply_limit_bytes),
        warn_(context.warn ? context.warn : [](std::string_view) {}),
        server_(*context.loop, std::move(address), {.idle = kIdle, .age = kAge, .attempt = kTimeLimit}, "connect to ",
                warn_) {}

  bool immediate() const override { return false; }
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return std::nullopt; }

  net::Task<Result<Found>> find(std::string key) override {
    const std::string request = socketmap_request(map_name_, key);
    const Deadline deadline = within(kTimeLimit);
    // A server that hung up is asked once more: it may have been restarted, or have closed what was idle.
    for (int attempt = 1;; ++attempt) {
      auto payload = co_await ask(request, deadline);
      if (payload) { co_return answer(*payload); }
      const Error& error = payload.error();
      if (error.is(std::errc::operation_canceled)) { co_return failed(error.code); }
      const bool hung_up = error.code == net::Errc::end_of_stream || error.is(std::errc::connection_reset) ||
                           error.is(std::errc::broken_pipe);
      if (hung_up && attempt == 1) { continue; }
      warn_(fmt::format("table {} lookup error: {}", name(), reason(error, hung_up)));
      co_return failed(error.code);
    }
  }

 private:
  /// What is in the reply's netstring.
  net::Task<Result<std::string>> ask(const std::string& request, Deadline deadline) {
    auto lease = co_await server_.acquire(deadline);
    if (!lease) { co_return std::unexpected(std::move(lease).error()); }
    net::BufferedStream& stream = **lease;
    stream.append(request);
    const auto sent = co_await stream.flush(deadline);
    if (!sent) { co_return std::unexpected(sent.error()); }
    std::string bytes;
    for (;;) {
      const auto more = co_await stream.peek(deadline);
      if (!more) { co_return std::unexpected(more.error()); }
      const std::size_t before = bytes.size();
      bytes += *more;
      SP_CO_TRY(const auto whole, parse_netstring(bytes, reply_limit_));
      if (!whole) {
        stream.consume(more->size());
        continue;
      }
      // What follows was not asked for: acquire() sees it and closes the connection.
      stream.consume(whole->size_bytes - before);
      std::string payload(whole->payload);
      lease->release();
      co_return payload;
    }
  }

  static std::string reason(const Error& error, bool hung_up) {
    if (hung_up) { return "unexpected disconnect"; }
    if (error.is(std::errc::timed_out)) { return "time limit exceeded"; }
    return error.message();
  }

  Result<Found> answer(const std::string& payload) const {
    const auto reply = parse_socketmap_reply(payload);
    std::string_view what;
    if (!reply) {
      warn_(fmt::format("{} {}", name(), reply.error().context));
      return failed({});
    }
    switch (reply->status) {
      case SocketmapReply::Status::ok:
        return reply->has_text ? Found{reply->text} : Found{};
      case SocketmapReply::Status::not_found:
        return Found{};
      case SocketmapReply::Status::temporary:
        what = "temporary";
        break;
      case SocketmapReply::Status::timeout:
        what = "timeout";
        break;
      case SocketmapReply::Status::permanent:
        what = "permanent";
        break;
    }
    warn_(fmt::format("{} socketmap server {} error{}{}", name(), what, reply->text.empty() ? "" : ": ",
                      printable(reply->text)));
    return failed({});
  }

  /// Also after PERM: what a table cannot tell is never "not found", and mail waits.
  [[nodiscard]] static std::unexpected<Error> failed(std::error_code code) {
    const bool known =
        code && (code.category() == std::generic_category() || code.category() == std::system_category());
    return std::unexpected(Error{known ? code : std::make_error_code(std::errc::invalid_argument), {}});
  }

  std::string map_name_;
  std::size_t reply_limit_;
  std::function<void(std::string_view)> warn_;
  ServerConnections server_;
};

Result<ServerAddress> parse_service(std::string_view service) {
  const std::size_t colon = service.find(':');
  if (colon == std::string_view::npos || colon + 1 == service.size()) {
    return failure(fmt::format("need service transport:endpoint instead of \"{}\"", printable(service)));
  }
  const std::string_view transport = service.substr(0, colon);
  const std::string_view endpoint = service.substr(colon + 1);
  if (transport == "unix") { return ServerAddress::unix_socket(std::string(endpoint)); }
  if (transport == "inet") { return ServerAddress::inet(endpoint); }
  return failure(fmt::format("invalid transport name: {} in service: {}", printable(transport), printable(service)));
}

}  // namespace

Result<std::unique_ptr<Table>> open_socketmap(std::string_view name, const OpenContext& context) {
  // The name of the map is behind the last colon.
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) { return failure("socketmap requires server:socketmap argument"); }
  SP_TRY(ServerAddress address, parse_service(name.substr(0, colon)));
  if (context.loop == nullptr) { return failure(fmt::format("socketmap:{}: no event loop here", printable(name))); }
  return std::make_unique<SocketmapTable>(fmt::format("socketmap:{}", name), std::move(address),
                                          std::string(name.substr(colon + 1)), context);
}

}  // namespace stagepost::maps
