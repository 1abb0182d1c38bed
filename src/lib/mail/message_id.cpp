// See message_id.hpp.
#include "mail/message_id.hpp"

#include <ctime>

#include <fmt/format.h>

namespace stagepost::mail {

std::string format_message_id(std::chrono::sys_seconds when, std::string_view queue_id, std::string_view myhostname) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("<{:04}{:02}{:02}{:02}{:02}{:02}.{}@{}>", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, queue_id, myhostname);
}

}  // namespace stagepost::mail
