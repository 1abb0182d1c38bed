// Asks the servers of a table one after the other, over a link that is kept. What a link is, how one is made and what
// is asked over it are the caller's business. For one thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/result.hpp"
#include "host_list.hpp"
#include "maps/lookup.hpp"

namespace stagepost::maps {

/// How a question ended.
struct Asked {
  Result<Found> found;
  /// The answer was refused for what it is (expansion_limit): no other server will do better.
  bool refused = false;
};

/// `Link` has lost(): after a failed call, whether no further one can succeed.
template <class Link>
class Failover {
 public:
  using Connect = std::function<Result<std::unique_ptr<Link>>(std::size_t host)>;
  using Warn = std::function<void(std::string_view)>;
  using Ask = std::function<Asked(Link& link)>;

  /// `hosts` outlives the object. `table_name` is for warnings.
  Failover(HostList& hosts, std::string table_name, Connect connect, Warn warn)
      : hosts_(hosts), table_name_(std::move(table_name)), connect_(std::move(connect)), warn_(std::move(warn)) {}

  /// The first answer. Errors name the host; of several that failed each is warned about, and the last is the Error.
  [[nodiscard]] Result<Found> call(const Ask& ask) {
    if (link_) {
      // It may have been idle for long, and the server restarted: that says nothing yet about the host.
      Asked asked = ask(*link_);
      const bool lost = !asked.found && link_->lost();
      if (lost) { link_.reset(); }
      if (asked.found || asked.refused || !lost) { return named(std::move(asked), link_host_); }
    }
    const std::vector<std::size_t> candidates = hosts_.candidates();
    if (candidates.empty()) { return failure(fmt::format("all hosts failed: {}", hosts_.reasons())); }
    Result<Found> last;
    for (const std::size_t host : candidates) {
      Asked asked = try_host(host, ask);
      const bool final = asked.found || asked.refused;
      last = named(std::move(asked), host);
      if (final) { break; }
      if (candidates.size() > 1) { warn_(fmt::format("{}: {}", table_name_, last.error().message())); }
    }
    return last;
  }

 private:
  Asked try_host(std::size_t host, const Ask& ask) {
    auto made = connect_(host);
    if (!made) {
      hosts_.failed(host, made.error().message());
      return {.found = std::unexpected(std::move(made).error())};
    }
    link_ = *std::move(made);
    link_host_ = host;
    Asked asked = ask(*link_);
    if (asked.found || asked.refused || !link_->lost()) {
      hosts_.succeeded(host);
    } else {
      hosts_.failed(host, asked.found.error().message());
    }
    // Another host may do better with a question that this one does not answer.
    if (!asked.found) { link_.reset(); }
    return asked;
  }

  [[nodiscard]] Result<Found> named(Asked asked, std::size_t host) const {
    if (asked.found || asked.refused) { return std::move(asked.found); }
    return failure(host_failure(hosts_.name(host), asked.found.error().message()));
  }

  HostList& hosts_;
  std::string table_name_;
  Connect connect_;
  Warn warn_;
  std::unique_ptr<Link> link_;
  std::size_t link_host_ = 0;
};

}  // namespace stagepost::maps
