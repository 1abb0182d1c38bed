// Fuzz target: main.cf text from an untrusted hand.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/assert.hpp"
#include "config/main_cf.hpp"
#include "config/snapshot.hpp"

namespace {
// No name look-up and no dependence on the interfaces of this host.
const stagepost::config::Overrides kOffline = {{"inet_interfaces", "loopback-only"}, {"mynetworks", "127.0.0.0/8"}};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = stagepost::config::parse_main_cf(text, "main.cf");
  const auto snapshot = stagepost::config::Snapshot::from_text(
      text, "main.cf", {.config_directory = "/etc/postfix", .overrides = kOffline});
  if (snapshot) {
    // Whatever loads can be edited, and what was set is then there.
    const stagepost::config::Edit edit{stagepost::config::Edit::Kind::set, "myhostname", "fuzz.example"};
    const auto edited = stagepost::config::edit_main_cf(text, "main.cf", std::span(&edit, 1));
    SP_ASSERT(edited.has_value());
    const auto again = stagepost::config::parse_main_cf(*edited, "main.cf");
    SP_ASSERT(again.has_value());
    SP_ASSERT(std::ranges::any_of(again->settings, [](const auto& setting) {
      return setting.name == "myhostname" && setting.value == "fuzz.example";
    }));
  }
  return 0;
}
