// The log of one destination: flush/NAME, a queue ID per line, append-only until its mail is sent. The name is the
// domain in lower case with '_' for everything but letters and digits, as Postfix makes it; two domains that share a
// name share a log, which costs a delivery attempt and nothing else. Blocking file work, no waiting.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "queue/directory.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::flush {

/// nullopt for a text that can't be a log's name: empty, or longer than a queue ID may be.
[[nodiscard]] std::optional<queue::QueueId> log_name(std::string_view site);

/// Adds `id`. resource_unavailable_try_again while the log is being sent.
[[nodiscard]] Result<> add_to_log(const queue::QueueDirectory& directory, const queue::QueueId& log,
                                  const queue::QueueId& id);

/// Calls `send` for each queue ID in the log, most repetitions left out, and empties the log. A log that is not there
/// is empty. resource_unavailable_try_again while another process does the same.
[[nodiscard]] Result<> send_log(const queue::QueueDirectory& directory, const queue::QueueId& log,
                                const std::function<void(const queue::QueueId&)>& send);

/// What the refresh shall do with a log.
enum class Upkeep { keep, send, remove };
struct UpkeepLimits {
  std::chrono::seconds refresh_time;  ///< fast_flush_refresh_time: since the log was last sent
  std::chrono::seconds purge_time;    ///< fast_flush_purge_time: since an empty log was last changed
};
[[nodiscard]] Result<Upkeep> upkeep(const queue::QueueDirectory& directory, const queue::QueueId& log,
                                    const UpkeepLimits& limits, std::chrono::system_clock::time_point now);
/// Removes the log if it is empty.
[[nodiscard]] Result<> remove_empty_log(const queue::QueueDirectory& directory, const queue::QueueId& log);

/// Makes a deferred message due and moves it to incoming, where qmgr finds it; its defer log is done with. False: it is
/// not in deferred.
[[nodiscard]] Result<bool> release(const queue::QueueDirectory& directory, const queue::QueueId& id);

}  // namespace stagepost::flush
