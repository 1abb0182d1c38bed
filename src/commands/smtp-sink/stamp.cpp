#include "commands/smtp-sink/stamp.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"

namespace stagepost::smtp_sink {
namespace {

constexpr std::string_view kField = "X-Stagepost-Sent: ";

}  // namespace

std::optional<std::chrono::steady_clock::time_point> StampReader::sent() const {
  const std::string_view head = head_;
  std::size_t begin = head.starts_with(kField) ? 0 : head.find(std::string("\n").append(kField));
  if (begin == std::string_view::npos) { return std::nullopt; }
  if (begin > 0) { ++begin; }
  const std::string_view value = head.substr(begin + kField.size());
  const auto end = value.find_first_not_of("0123456789");
  const auto nanoseconds = text::parse_unsigned(value.substr(0, end));
  if (!nanoseconds || *nanoseconds > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) { return std::nullopt; }
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(*nanoseconds));
}

}  // namespace stagepost::smtp_sink
