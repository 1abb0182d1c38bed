// See the header.
#include "commands/postfix/upgrade.hpp"

#include <array>

#include <fmt/format.h>

#include "config/master_cf_edit.hpp"

namespace stagepost::postfix {
namespace {

struct Wanted {
  std::string_view name;
  std::string_view columns;  ///< from "private" to the command
  config::ServiceType type = config::ServiceType::unix_stream;
};

/// Services that other services expect to be there.
constexpr std::array<Wanted, 12> kWanted{{
    {"relay", "- - n - - smtp"},
    {"flush", "n - n 1000? 0 flush"},
    {"trace", "- - n - 0 bounce"},
    {"verify", "- - n - 1 verify"},
    {"proxymap", "- - n - - proxymap"},
    {"anvil", "- - n - 1 anvil"},
    {"scache", "- - n - 1 scache"},
    {"discard", "- - n - - discard"},
    {"tlsmgr", "- - n 1000? 1 tlsmgr"},
    {"retry", "- - n - - error"},
    {"proxywrite", "- - n - 1 proxymap"},
    {"postlog", "n - n - 1 postlogd", config::ServiceType::unix_dgram},
}};

}  // namespace

std::vector<ServiceUpgrade> missing_services(const config::MasterCf& master) {
  std::vector<ServiceUpgrade> upgrades;
  for (const Wanted& wanted : kWanted) {
    const std::string type(to_string(wanted.type));
    const config::ServiceEntry* entry = master.find(wanted.name, wanted.type);
    if (entry == nullptr) {
      upgrades.push_back({.what = fmt::format("adding missing entry for {} service", wanted.name),
                          .name = std::string(wanted.name),
                          .type = type,
                          .entry = fmt::format("{} {} {}", wanted.name, type, wanted.columns)});
    } else if (wanted.name == "flush" && entry->private_) {
      // postqueue -s, run by any user, has to reach it.
      config::ServiceEntry open = *entry;
      open.columns.at(2) = "n";
      upgrades.push_back({.what = "making the flush service public",
                          .name = open.name,
                          .type = type,
                          .entry = config::format_entry(open, config::Fold::no)});
    }
  }
  return upgrades;
}

Result<> upgrade_services(const std::string& directory, const std::function<void(std::string_view)>& say) {
  const std::string path = directory + "/master.cf";
  SP_TRY(const config::MasterCf master, config::read_master_cf(path));
  for (const ServiceUpgrade& upgrade : missing_services(master)) {
    say(fmt::format("Editing {}, {}", path, upgrade.what));
    SP_TRY(config::edit_master_cf_file(
        path,
        {.kind = config::ServiceEdit::Kind::set, .name = upgrade.name, .type = upgrade.type, .entry = upgrade.entry}));
  }
  return {};
}

}  // namespace stagepost::postfix
