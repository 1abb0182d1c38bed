// What an SMTP or LMTP server offers in its EHLO/LHLO reply (RFC 5321 §4.1.1.1), with keywords the administrator
// discards (parameters smtp_discard_ehlo_keywords …) left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mail/reply.hpp"

namespace stagepost::smtp {

enum class Feature : std::uint32_t {
  esmtp = 1U << 0,
  pipelining = 1U << 1,
  size = 1U << 2,
  starttls = 1U << 3,
  eight_bit_mime = 1U << 4,
  enhanced_status_codes = 1U << 5,
  dsn = 1U << 6,
  auth = 1U << 7,
  smtputf8 = 1U << 8,
  chunking = 1U << 9,
  xforward = 1U << 10,
  xclient = 1U << 11,
  verify = 1U << 12,
  etrn = 1U << 13,
  requiretls = 1U << 14,
};

struct Capabilities {
  std::uint32_t features = 0;
  /// Server's name in the first line.
  std::string server_name = {};
  /// 0: no limit announced.
  std::uint64_t size_limit_bytes = 0;
  /// Mechanisms as announced, in order, also those of the broken "AUTH=" form.
  std::vector<std::string> auth_mechanisms = {};
  /// Attribute names after XFORWARD and XCLIENT, upper case.
  std::vector<std::string> xforward = {};
  std::vector<std::string> xclient = {};
  [[nodiscard]] bool has(Feature feature) const { return (features & static_cast<std::uint32_t>(feature)) != 0; }
};

/// From a 250 reply. `discard`: keywords to ignore, case-insensitive. At most 100 mechanisms or attributes are kept.
[[nodiscard]] Capabilities parse_ehlo(const ServerReply& reply, const std::vector<std::string>& discard = {});

}  // namespace stagepost::smtp
