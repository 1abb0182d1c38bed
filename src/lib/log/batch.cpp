#include "log/batch.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace stagepost::log {
namespace {

/// First octet of a datagram that is a batch. No line of text starts with it.
constexpr char kBatchMark = '\x1f';

}  // namespace

LineTime line_time() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void append_to_batch(std::string& batch, LineTime time, std::string_view line) {
  if (batch.empty()) { batch += kBatchMark; }
  char octets[sizeof time];
  std::memcpy(octets, &time, sizeof time);  // it never leaves the machine: its own byte order
  batch.append(octets, sizeof octets);
  const std::size_t start = batch.size();
  batch += line;
  std::replace(batch.begin() + static_cast<std::ptrdiff_t>(start), batch.end(), '\n', '?');
  batch += '\n';
}

BatchReader::BatchReader(std::string_view datagram)
    : rest_(datagram), batch_(datagram.starts_with(kBatchMark)), single_(!batch_) {
  if (batch_) { rest_.remove_prefix(1); }
}

std::optional<BatchReader::Line> BatchReader::next() {
  if (!batch_) { return std::exchange(single_, false) ? std::optional(Line{std::nullopt, rest_}) : std::nullopt; }
  LineTime time = 0;
  if (rest_.size() < sizeof time) { return std::nullopt; }
  std::memcpy(&time, rest_.data(), sizeof time);
  rest_.remove_prefix(sizeof time);
  const std::size_t end = std::min(rest_.find('\n'), rest_.size());
  const Line line{time, rest_.substr(0, end)};
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return line;
}

}  // namespace stagepost::log
