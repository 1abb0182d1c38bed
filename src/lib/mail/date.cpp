// See date.hpp.
#include "mail/date.hpp"

#include <array>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include <fmt/format.h>

namespace stagepost::mail {

std::string format_date(std::chrono::sys_seconds when) {
  constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  const long minutes = std::labs(local.tm_gmtoff) / 60;
  return fmt::format("{}, {:2} {} {:04} {:02}:{:02}:{:02} {}{:02}{:02} ({})",
                     kDays[static_cast<std::size_t>(local.tm_wday)], local.tm_mday,
                     kMonths[static_cast<std::size_t>(local.tm_mon)], local.tm_year + 1900, local.tm_hour, local.tm_min,
                     local.tm_sec, local.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60,
                     local.tm_zone == nullptr ? "" : local.tm_zone);
}

}  // namespace stagepost::mail
