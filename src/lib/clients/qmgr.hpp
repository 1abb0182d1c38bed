// Tells qmgr things through its trigger socket (public/qmgr): letters, as master's wakeups and postkick send them, and
// one of our own that names a message, so that qmgr opens that file instead of scanning incoming/. Nothing is answered
// and nothing depends on it: qmgr scans at its wakeups and at start.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/snapshot.hpp"
#include "net/event_loop.hpp"
#include "net/stream.hpp"

namespace stagepost::clients {

namespace qmgr_trigger {
inline constexpr char kWakeup = 'W';         ///< timer: scan what is due
inline constexpr char kScanIncoming = 'I';   ///< a message arrived
inline constexpr char kScanDeferred = 'D';   ///< scan deferred
inline constexpr char kFlushDeferred = 'F';  ///< ignore the times of deferred messages
inline constexpr char kScanAll = 'A';        ///< ignore dead destinations and times
inline constexpr char kMessage = 'N';        ///< followed by a queue ID and LF: this message is complete in incoming/
}  // namespace qmgr_trigger

/// One trigger, as a value: what the parser makes of the bytes.
struct QmgrTrigger {
  char letter = '\0';
  std::string queue_id;  ///< for kMessage
};

/// Incremental parser of the trigger bytes of one connection. Unknown letters are skipped; an over-long queue ID
/// becomes a plain kScanIncoming.
class QmgrTriggerParser {
 public:
  void feed(std::string_view bytes, std::vector<QmgrTrigger>& out);

 private:
  bool in_id_ = false;
  std::string id_;
};

class QmgrClient {
 public:
  QmgrClient(net::EventLoop& loop, const config::Snapshot& config);
  /// "`queue_id` is complete in incoming/". Keeps its connection; reconnects once; a failure is not an error.
  [[nodiscard]] net::Task<> message_arrived(std::string queue_id);
  [[nodiscard]] net::Task<Result<>> trigger(std::string letters);

 private:
  [[nodiscard]] net::Task<Result<>> send(std::string bytes);

  net::EventLoop& loop_;
  std::string path_;
  std::unique_ptr<net::Stream> stream_;
};

}  // namespace stagepost::clients
