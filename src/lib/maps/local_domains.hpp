// Which domains this machine is the final destination of for local(8): myorigin (for table look-ups only),
// mydestination, and address literals of inet_interfaces and proxy_interfaces.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "maps/match_list.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

class LocalDomains {
 public:
  [[nodiscard]] static Result<LocalDomains> create(const config::Snapshot& config, const OpenContext& context);

  /// Final destination? `domain` may be "[192.0.2.1]". Error: a table of mydestination failed.
  [[nodiscard]] net::Task<Result<bool>> contains(std::string domain) const;
  /// May users of this domain be listed without domain in canonical and virtual tables? (contains() or myorigin)
  [[nodiscard]] net::Task<Result<Site>> site_of(std::string_view address) const;

 private:
  MatchList mydestination_;
  std::set<std::string> literals_;  // addresses without brackets
  std::string myorigin_;
};

}  // namespace stagepost::maps
