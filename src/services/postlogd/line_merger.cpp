#include "services/postlogd/line_merger.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::postlogd {
namespace {

constexpr std::size_t kLineOctets = 60'000;

log::LineTime nanoseconds(std::chrono::milliseconds time) { return std::chrono::nanoseconds(time).count(); }

}  // namespace

LineMerger::LineMerger(const Limits& limits) : limits_(limits) {}

void LineMerger::add(std::string_view datagram, log::LineTime arrival) {
  fade(arrival);
  log::BatchReader lines(datagram);
  log::LineTime time = arrival - nanoseconds(limits_.oldest);
  const log::LineTime most = nanoseconds(limits_.settled_most);
  while (const auto line = lines.next()) {
    if (line->time) { lateness_ = std::max(lateness_, std::min(arrival - std::max(*line->time, time), most)); }
    time = std::clamp(line->time.value_or(arrival), time, arrival);
    append(time, line->text);
  }
}

void LineMerger::fade(log::LineTime now) {
  constexpr log::LineTime kSecond = 1'000'000'000;
  const log::LineTime elapsed = std::clamp<log::LineTime>(now - std::exchange(faded_at_, now), 0, kSecond);
  lateness_ -= lateness_ * elapsed / kSecond;
}

void LineMerger::append(log::LineTime time, std::string_view text) {
  while (text.ends_with('\n') || text.ends_with('\0')) { text.remove_suffix(1); }
  const std::size_t offset = text_.size();
  if (text.size() <= kLineOctets && std::ranges::all_of(text, text::is_printable)) {
    text_ += text;
  } else {
    text_ += LogText(PeerBytes(text), kLineOctets).str();
  }
  text_ += '\n';
  oldest_ = lines_.empty() ? time : std::min(oldest_, time);
  lines_.push_back({.time = time,
                    .offset = static_cast<std::uint32_t>(offset),
                    .length = static_cast<std::uint32_t>(text_.size() - offset)});
}

log::LineTime LineMerger::settled_age() const {
  return std::clamp(2 * lateness_, nanoseconds(limits_.settled_least), nanoseconds(limits_.settled_most));
}

std::optional<log::LineTime> LineMerger::due() const {
  if (lines_.empty()) { return std::nullopt; }
  const log::LineTime settled = settled_age();
  return oldest_ + settled + std::max(nanoseconds(limits_.gather), settled / 4);
}

void LineMerger::take_settled(log::LineTime now, std::string& out) { take(now - settled_age(), out); }

void LineMerger::take_all(std::string& out) { take(std::numeric_limits<log::LineTime>::max(), out); }

void LineMerger::take(log::LineTime until, std::string& out) {
  // Lines of equal time stay in the order in which they came, which is that of their offsets.
  std::ranges::sort(
      lines_, [](const Line& a, const Line& b) { return std::tie(a.time, a.offset) < std::tie(b.time, b.offset); });
  const auto rest = std::ranges::upper_bound(lines_, until, {}, &Line::time);
  for (auto line = lines_.begin(); line != rest; ++line) { out.append(text_, line->offset, line->length); }
  lines_.erase(lines_.begin(), rest);
  std::string left;
  for (Line& line : lines_) {
    const std::size_t offset = left.size();
    left.append(text_, line.offset, line.length);
    line.offset = static_cast<std::uint32_t>(offset);
  }
  text_ = std::move(left);
  oldest_ = lines_.empty() ? 0 : lines_.front().time;
}

}  // namespace stagepost::postlogd
