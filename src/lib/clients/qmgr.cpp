#include "clients/qmgr.hpp"

#include "base/text.hpp"
#include "clients/endpoint.hpp"
#include "log/log.hpp"
#include "net/socket_stream.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::clients {
namespace {
constexpr std::string_view kLetters = "WIDFA";
}

void QmgrTriggerParser::feed(std::string_view bytes, std::vector<QmgrTrigger>& out) {
  for (const char c : bytes) {
    if (!in_id_) {
      if (c == qmgr_trigger::kMessage) {
        in_id_ = true;
        id_.clear();
      } else if (kLetters.find(c) != std::string_view::npos) {
        out.push_back({c, {}});
      }
      continue;
    }
    if (c != '\n') {
      if (id_.size() <= queue::QueueId::kMaxOctets) { id_ += c; }
      continue;
    }
    in_id_ = false;
    if (queue::QueueId::parse(id_)) {
      out.push_back({qmgr_trigger::kMessage, std::move(id_)});
    } else {
      out.push_back({qmgr_trigger::kScanIncoming, {}});
    }
  }
}

QmgrClient::QmgrClient(net::EventLoop& loop, const config::Snapshot& config)
    : loop_(loop), path_(public_endpoint(config, "queue_service_name")) {}

net::Task<Result<>> QmgrClient::send(std::string bytes) {
  const Deadline deadline = within(std::chrono::seconds(10));
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!stream_) {
      auto connected = co_await net::connect_unix(loop_, path_, deadline);
      if (!connected) { co_return std::unexpected(connected.error()); }
      // Two tasks may have connected at once: the later one's connection stays.
      stream_ = std::move(*connected);
    }
    // The stream is borrowed for the write: a short one that a socket buffer takes whole, so tasks do not interleave.
    auto stream = std::exchange(stream_, nullptr);
    const auto written = co_await stream->write_all(bytes, deadline);
    if (written) {
      stream_ = std::move(stream);
      co_return Result<>{};
    }
    if (attempt == 1) { co_return written; }
  }
  co_return Result<>{};
}

net::Task<> QmgrClient::message_arrived(std::string queue_id) {
  std::string bytes(1, qmgr_trigger::kMessage);
  bytes += queue_id;
  bytes += '\n';
  const auto sent = co_await send(std::move(bytes));
  if (!sent) { log::debug("qmgr was not told of {}: {}", queue_id, sent.error().message()); }
}

net::Task<Result<>> QmgrClient::trigger(std::string letters) { return send(std::move(letters)); }

}  // namespace stagepost::clients
