// Message-ID fields (RFC 5322 §3.6.4).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace stagepost::mail {

/// "<20261122122414.4XQK9f1Dz3z@mail.example.com>": UTC time, queue ID, $myhostname.
[[nodiscard]] std::string format_message_id(std::chrono::sys_seconds when, std::string_view queue_id,
                                            std::string_view myhostname);

}  // namespace stagepost::mail
