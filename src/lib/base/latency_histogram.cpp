#include "base/latency_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace stagepost {

void LatencyHistogram::add(std::chrono::nanoseconds latency) {
  latency = std::max(latency, std::chrono::nanoseconds(0));
  const auto value = static_cast<std::uint64_t>(latency.count());
  // Values below 128 have a bucket of their own; above, the top 7 bits name the bucket.
  const auto width = static_cast<unsigned>(std::bit_width(value));
  const unsigned shift = width > kSubBits + 1 ? width - kSubBits - 1 : 0;
  const std::uint64_t index = (std::uint64_t{shift} << kSubBits) + (value >> shift);
  ++buckets_.at(static_cast<std::size_t>(index));
  ++count_;
  largest_ = std::max(largest_, latency);
}

std::chrono::nanoseconds LatencyHistogram::percentile(double fraction) const {
  if (count_ == 0) { return std::chrono::nanoseconds(0); }
  const auto wanted = std::max(std::uint64_t{1},
                               static_cast<std::uint64_t>(std::ceil(std::clamp(fraction, 0.0, 1.0) * double(count_))));
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index < buckets_.size(); ++index) {
    seen += buckets_[index];
    if (seen < wanted) { continue; }
    // Inverse of add(): indexes from 128 on hold their shift above kSubBits, less the one that the top bit adds.
    const std::uint64_t shift = index < (2U << kSubBits) ? 0 : (index >> kSubBits) - 1;
    const std::uint64_t top = index - (shift << kSubBits);
    const std::uint64_t bound = ((top + 1) << shift) - 1;
    return std::min(largest_, std::chrono::nanoseconds(static_cast<std::int64_t>(bound)));
  }
  return largest_;
}

}  // namespace stagepost
