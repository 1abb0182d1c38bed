// Builds with sanitizers only: what they find becomes a log line too, since a daemon's standard error is /dev/null.
#pragma once

namespace stagepost::log {

/// Sends reports to the log from now on. Does nothing in other builds.
void log_sanitizer_reports() noexcept;

}  // namespace stagepost::log
