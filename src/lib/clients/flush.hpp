// Client of flush (flush_service_name): which deferred messages wait for which destination (ETRN, postqueue -s, -i).
// Message types 0x06xx.
#pragma once

#include <cstdint>
#include <string>

#include "config/snapshot.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::clients {

struct FlushRequest {
  static constexpr std::uint16_t kType = 0x0601;
  enum class What : std::uint8_t {
    add,        ///< message `queue_id` was deferred for destination `site`
    send_site,  ///< deliver mail for `site` now
    send_file,  ///< deliver message `queue_id` now
    purge,      ///< rebuild: drop what is stale
    refresh,    ///< the periodic wakeup
    kLast = refresh
  };
  What what = What::add;
  std::string site;
  std::string queue_id;
  auto fields(this auto& self, auto&& visit) { return visit(self.what, self.site, self.queue_id); }
};

struct FlushReply {
  static constexpr std::uint16_t kType = 0x0602;
  enum class Status : std::uint8_t {
    ok,
    failed,
    unknown,  ///< the site is not in fast_flush_domains
    bad,      ///< syntax
    kLast = bad
  };
  Status status = Status::ok;
  auto fields(this auto& self, auto&& visit) { return visit(self.status); }
};

class FlushClient {
 public:
  FlushClient(net::EventLoop& loop, const config::Snapshot& config);
  [[nodiscard]] net::Task<Result<FlushReply::Status>> ask(FlushRequest request);

 private:
  ipc::ClientPool pool_;
  std::chrono::seconds timeout_;
};

}  // namespace stagepost::clients
