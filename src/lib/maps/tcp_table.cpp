// tcp:host:port, see network_tables.hpp. The protocol itself is in tcp_protocol.hpp.
#include <chrono>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "maps/network_tables.hpp"
#include "maps/server_connections.hpp"
#include "maps/tcp_protocol.hpp"
#include "net/error.hpp"

namespace stagepost::maps {
namespace {

/// tcp_table(5): "Send and receive operations must complete in 100 seconds."
constexpr std::chrono::seconds kTimeLimit{100};
/// As Postfix: a server that cannot be reached, hangs up, or sends too much is asked ten times, a second apart.
constexpr int kTries = 10;
constexpr std::chrono::seconds kPause{1};
/// A connection without use; Postfix keeps it for ever.
constexpr std::chrono::seconds kIdle{100};
constexpr std::chrono::seconds kAge{1000};

/// What one exchange came to, other than a reply line.
struct Trouble {
  Error error;
  bool again = false;
};

class TcpTable final : public Table {
 public:
  TcpTable(std::string name, ServerAddress address, const OpenContext& context)
      : Table(std::move(name), KeyKind::pattern),
        warn_(context.warn ? context.warn : [](std::string_view) {}),
        server_(*context.loop, std::move(address), {.idle = kIdle, .age = kAge, .attempt = kTimeLimit},
                "connect to TCP map ", warn_) {}

  bool immediate() const override { return false; }
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return std::nullopt; }

  net::Task<Result<Found>> find(std::string key) override {
    const std::string request = tcp_request(key);
    for (int attempt = 1;; ++attempt) {
      auto line = co_await ask(request);
      if (line) { co_return answer(*line); }
      if (!line.error().again || attempt == kTries) { co_return failed(line.error().error.code); }
      const auto slept = co_await net::sleep_until(within(kPause));
      if (!slept) { co_return failed(slept.error().code); }
    }
  }

 private:
  /// One line without its newline.
  net::Task<std::expected<std::string, Trouble>> ask(const std::string& request) {
    for (;;) {
      auto lease = co_await server_.acquire(within(kTimeLimit));
      if (!lease) {
        const bool again = !lease.error().is(std::errc::timed_out) && !ended(lease.error());
        co_return std::unexpected(Trouble{std::move(lease).error(), again});
      }
      net::BufferedStream& stream = **lease;
      stream.append(request);
      const auto sent = co_await stream.flush(within(kTimeLimit));
      if (!sent) {
        if (lease->reused() && !ended(sent.error())) { continue; }
        co_return failed("write TCP map query to ", sent.error());
      }
      const auto line = co_await stream.read_line(kTcpReplyLimit - 1, within(kTimeLimit));
      if (!line) {
        // The server may close what was idle just when it is used again.
        const bool unanswered = stream.buffered().empty() && !line.error().is(std::errc::timed_out);
        if (lease->reused() && unanswered && !ended(line.error())) { continue; }
        co_return failed("read TCP map reply from ", line.error());
      }
      std::string text(line->text);
      if (line->ending == net::Line::Ending::crlf) { text.push_back('\r'); }
      if (text.size() >= kTcpReplyLimit) {
        co_return failed("read TCP map reply from ", Error{net::Errc::limit_exceeded, ""});
      }
      // More than one line was not asked for: acquire() sees it and closes the connection.
      lease->release();
      co_return text;
    }
  }

  static bool ended(const Error& error) { return error.is(std::errc::operation_canceled); }

  std::unexpected<Trouble> failed(std::string_view doing, const Error& error) const {
    std::string what = error.code.message();
    if (error.code == net::Errc::limit_exceeded) { what = fmt::format("text longer than {}", kTcpReplyLimit); }
    if (error.code == net::Errc::end_of_stream) { what = "unexpected EOF"; }
    const bool timed_out = error.is(std::errc::timed_out);
    if (timed_out) { what = "read/write timeout"; }
    if (!ended(error)) { warn_(fmt::format("{}{}: {}", doing, server_.address().shown, what)); }
    return std::unexpected(Trouble{Error{error.code, ""}, !timed_out && !ended(error)});
  }

  Result<Found> answer(const std::string& line) const {
    const auto reply = parse_tcp_reply(line);
    const auto complain = [&](std::string_view what, std::string_view text) {
      warn_(fmt::format("read TCP map reply from {}: {}: {}", server_.address().shown, what, printable(text)));
      return failed(std::make_error_code(std::errc::invalid_argument));
    };
    if (!reply) { return complain(reply.error().context, line); }
    switch (reply->status) {
      case TcpReply::Status::found:
        return Found{reply->text};
      case TcpReply::Status::not_found:
        return Found{};
      case TcpReply::Status::temporary:
        break;
    }
    return complain("temporary error", reply->text);
  }

  [[nodiscard]] static std::unexpected<Error> failed(std::error_code code) {
    const bool known = code.category() == std::generic_category() || code.category() == std::system_category();
    return std::unexpected(Error{known ? code : std::make_error_code(std::errc::invalid_argument), {}});
  }

  std::function<void(std::string_view)> warn_;
  ServerConnections server_;
};

}  // namespace

Result<std::unique_ptr<Table>> open_tcp(std::string_view name, const OpenContext& context) {
  auto address = ServerAddress::inet(name);
  if (!address) { return std::unexpected(std::move(address).error()); }
  if (context.loop == nullptr) { return failure(fmt::format("tcp:{}: no event loop here", printable(name))); }
  return std::make_unique<TcpTable>(fmt::format("tcp:{}", name), *std::move(address), context);
}

}  // namespace stagepost::maps
