// Dates in header fields (RFC 5322 §3.3).
#pragma once

#include <chrono>
#include <string>

namespace stagepost::mail {

/// "Sun, 22 Nov 2026 12:24:14 +0000 (UTC)", in the local time zone of the process (TZ), English whatever the locale.
[[nodiscard]] std::string format_date(std::chrono::sys_seconds when);

}  // namespace stagepost::mail
