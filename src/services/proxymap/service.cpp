#include "services/proxymap/service.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/safe_text.hpp"
#include "ipc/channel.hpp"
#include "log/log.hpp"
#include "maps/proxy_protocol.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "net/task_group.hpp"
#include "services/proxymap/approved_tables.hpp"

namespace stagepost::proxymap {
namespace {

using maps::ProxyReply;
using maps::ProxyRequest;

/// Replies that a client does not fetch; past this its requests are not read.
constexpr std::size_t kUnsentLimitBytes = 1U << 20U;

/// The tables that one process has open, for all its clients. None is closed: the approved ones are few.
class OpenTables {
 public:
  OpenTables(const config::Snapshot& config, maps::OpenContext context, bool writable)
      : context_(std::move(context)),
        parameter_(writable ? "proxy_write_maps" : "proxy_read_maps"),
        approved_(config.text(parameter_)) {
    context_.access = writable ? maps::Access::write : maps::Access::read;
    // proxy: within a table that is opened here is opened here as well.
    context_.security_sensitive = true;
  }

  /// Null, after two lines in the log: not approved.
  maps::Table* find(const std::string& name, std::uint8_t flags) {
    if (!approved_.contains(name)) {
      log::warning("request for unapproved table: \"{}\"", printable(name));
      log::warning("to approve this table for {} access, list proxy:{} in main.cf:{}",
                   writable() ? "read-write" : "read-only", printable(name), parameter_);
      return nullptr;
    }
    std::unique_ptr<maps::Table>& table = tables_[{name, flags}];
    if (!table) {
      maps::OpenContext context = context_;
      maps::ProxyFlags::apply(flags, context);
      table = maps::open_or_stand_in(name, context);
    }
    return table.get();
  }

  [[nodiscard]] bool writable() const { return context_.access == maps::Access::write; }

 private:
  maps::OpenContext context_;
  std::string parameter_;
  ApprovedTables approved_;
  std::map<std::pair<std::string, std::uint8_t>, std::unique_ptr<maps::Table>> tables_;
};

ProxyReply reply_to(std::uint32_t number, Result<maps::Found> found) {
  ProxyReply reply{.number = number, .status = ProxyReply::Status::not_found, .text = {}};
  if (!found) {
    reply.status = ProxyReply::Status::retry;
    reply.text = found.error().message();
  } else if (*found && (*found)->size() > maps::kProxyValueLimit) {
    reply.status = ProxyReply::Status::retry;
    reply.text = "result is too long";
  } else if (*found) {
    reply.status = ProxyReply::Status::ok;
    reply.text = **std::move(found);
  }
  return reply;
}

/// One client. Requests are answered as soon as their tables answer.
class Session {
 public:
  Session(net::EventLoop& loop, OpenTables& tables, std::unique_ptr<net::Stream> stream, std::chrono::seconds timeout)
      : tables_(tables),
        timeout_(timeout),
        channel_(std::move(stream)),
        sent_(loop),
        lookups_(loop, "table lookups", maps::kProxyPendingLimit) {}

  net::Task<> run(daemon::SessionContext& session) {
    for (;;) {
      const auto ready = co_await session.wait_request(channel_, Deadline::never());
      if (!ready) { break; }
      const auto read = co_await read_request();
      if (!read) {
        const bool expected =
            read.error().code == net::Errc::end_of_stream || read.error().is(std::errc::operation_canceled);
        if (!expected && !broken_) { log::warning("client: {}", read.error().message()); }
        break;
      }
      // Replies leave together when there is nothing more to answer at once.
      if (channel_.io().buffered().size() > last_request_bytes_ && channel_.unsent_bytes() < kUnsentLimitBytes) {
        continue;
      }
      co_await send_replies();
      while (!broken_ && channel_.unsent_bytes() >= kUnsentLimitBytes) {
        const auto woken = co_await sent_.wait(within(timeout_));
        if (!woken) { break; }
      }
      if (broken_) { break; }
    }
    co_await lookups_.join();
    co_await send_replies();
  }

 private:
  net::Task<Result<>> read_request() {
    const auto frame = co_await channel_.receive(within(timeout_));
    if (!frame) { co_return std::unexpected(frame.error()); }
    last_request_bytes_ = ipc::kHeaderBytes + frame->payload.size();
    auto request = frame->as<ProxyRequest>();
    if (!request) { co_return std::unexpected(request.error()); }
    if (request->table.size() > maps::kProxyNameLimit || request->key.size() > maps::kKeyLimit ||
        request->value.size() > maps::kProxyValueLimit || (request->flags & ~maps::ProxyFlags::kAll) != 0) {
      co_return failure("request exceeds its limits", std::errc::bad_message);
    }
    maps::Table* table = tables_.find(request->table, request->flags);
    if (table == nullptr) {
      channel_.queue(ProxyReply{.number = request->number, .status = ProxyReply::Status::denied, .text = {}});
      co_return Result<>{};
    }
    if (request->what == ProxyRequest::What::look_up) {
      if (auto found = table->find_now(request->key)) {
        channel_.queue(reply_to(request->number, *std::move(found)));
        co_return Result<>{};
      }
    }
    co_await lookups_.room();
    // This task was told to end while it waited.
    if (lookups_.full()) { co_return failure("too many lookups", std::errc::operation_canceled); }
    lookups_.spawn(answer(*table, *std::move(request)));
    co_return Result<>{};
  }

  /// `table` is never closed.
  net::Task<> answer(maps::Table& table, ProxyRequest request) {
    ProxyReply reply;
    switch (request.what) {
      case ProxyRequest::What::look_up: {
        auto found = co_await table.find(std::move(request.key));
        reply = reply_to(request.number, std::move(found));
        break;
      }
      case ProxyRequest::What::update: {
        auto stored = co_await table.put(std::move(request.key), std::move(request.value));
        reply = reply_to(request.number,
                         stored ? Result<maps::Found>(std::string()) : std::unexpected(std::move(stored).error()));
        break;
      }
      case ProxyRequest::What::erase: {
        auto erased = co_await table.erase(std::move(request.key));
        reply = reply_to(request.number, !erased   ? Result<maps::Found>(std::unexpected(std::move(erased).error()))
                                         : *erased ? maps::Found(std::string())
                                                   : maps::Found());
        break;
      }
    }
    channel_.queue(reply);
    co_await send_replies();
  }

  /// One task at a time writes, for all.
  net::Task<> send_replies() {
    if (sending_) { co_return; }
    sending_ = true;
    while (!broken_ && channel_.unsent_bytes() > 0) {
      const auto sent = co_await channel_.flush(within(timeout_));
      if (!sent) {
        broken_ = true;
        channel_.close();
      }
      sent_.notify_all();
    }
    sending_ = false;
  }

  OpenTables& tables_;
  std::chrono::seconds timeout_;
  ipc::Channel channel_;
  std::size_t last_request_bytes_ = 0;
  bool sending_ = false;
  bool broken_ = false;
  net::Event sent_;
  net::TaskGroup lookups_;
};

net::Task<> serve_client(net::EventLoop& loop, OpenTables& tables, net::AcceptedConnection connection,
                         daemon::SessionContext& context, std::chrono::seconds timeout) {
  Session session(loop, tables, std::move(connection.stream), timeout);
  co_await session.run(context);
}

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  const config::Snapshot& config = *context.config();
  const bool writable = context.service_name() == config.text("proxywrite_service_name");
  OpenTables tables(config, context.tables(), writable);
  const std::chrono::seconds timeout = config.seconds("ipc_timeout");
  daemon::SessionHandler handler = [&context, &tables, timeout](net::AcceptedConnection connection,
                                                                daemon::SessionContext& session) {
    return serve_client(context.loop(), tables, std::move(connection), session, timeout);
  };
  auto served = co_await context.serve_sessions(std::move(handler));
  co_return served;
}

}  // namespace stagepost::proxymap
