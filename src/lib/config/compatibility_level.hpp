// The safety net of upgrades (COMPATIBILITY_README): while compatibility_level is lower than the release in which a
// default changed, a parameter that main.cf does not set keeps its old default, and a program says so where the new
// one would have acted differently.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/master_cf.hpp"
#include "config/snapshot.hpp"

namespace stagepost::config {

/// One to three numbers ("2", "3.6", "3.7.1"); missing ones count as zero. nullopt for anything else.
using CompatibilityLevel = std::array<std::uint64_t, 3>;
[[nodiscard]] std::optional<CompatibilityLevel> parse_compatibility_level(std::string_view text);

/// The level below which the safety net does something.
inline constexpr std::string_view kLastCompatibilityLevel = "3.6";
[[nodiscard]] bool is_below_level(const Snapshot& config, std::string_view level);

/// Whether `name` has an old default and uses it: the level is too low, and neither main.cf nor -o sets the parameter.
/// False for a parameter whose default never changed.
[[nodiscard]] bool uses_old_default(const Snapshot& config, std::string_view name);

/// Below level 1 a chroot column of "-" is "y": changes those services, and gives a line for each, to be logged.
[[nodiscard]] std::vector<std::string> apply_old_chroot_default(MasterCf& master, const Snapshot& config);

}  // namespace stagepost::config
