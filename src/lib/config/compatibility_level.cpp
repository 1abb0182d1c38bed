#include "config/compatibility_level.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::config {
namespace {

struct Change {
  std::string_view name;
  /// When Postfix begins to be silent, which for some is later than the change of the default.
  std::string_view level;
};
constexpr Change kChanges[] = {
    {"append_dot_mydomain", "1"},
    {"lmtp_tls_fingerprint_digest", "3.6"},
    {"mynetworks_style", "2"},
    {"relay_domains", "2"},
    {"respectful_logging", "3.6"},
    {"smtp_tls_fingerprint_digest", "3.6"},
    {"smtpd_relay_before_recipient_restrictions", "3.6"},
    {"smtpd_relay_restrictions", "1"},
    {"smtpd_tls_fingerprint_digest", "3.6"},
    {"smtputf8_enable", "1"},
};
constexpr std::size_t kChrootColumn = 4;

}  // namespace

std::optional<CompatibilityLevel> parse_compatibility_level(std::string_view text) {
  const auto pieces = text::split_exact(text, '.');
  CompatibilityLevel level{};
  if (pieces.size() > level.size()) { return std::nullopt; }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto number = text::parse_unsigned(pieces[i]);
    if (!number) { return std::nullopt; }
    level[i] = *number;
  }
  return level;
}

bool is_below_level(const Snapshot& config, std::string_view level) {
  const auto set = parse_compatibility_level(config.text("compatibility_level"));
  const auto limit = parse_compatibility_level(level);
  return set && limit && *set < *limit;
}

bool uses_old_default(const Snapshot& config, std::string_view name) {
  const auto change = std::ranges::find(kChanges, name, &Change::name);
  return change != std::end(kChanges) && !config.is_set(name) && is_below_level(config, change->level);
}

std::vector<std::string> apply_old_chroot_default(MasterCf& master, const Snapshot& config) {
  std::vector<std::string> lines;
  if (!is_below_level(config, "1")) { return lines; }
  for (ServiceEntry& service : master.services) {
    if (service.columns[kChrootColumn] != "-") { continue; }
    service.chroot = true;
    lines.push_back(
        fmt::format("{}: line {}: using backwards-compatible default setting chroot=y", master.file, service.line));
  }
  return lines;
}

}  // namespace stagepost::config
