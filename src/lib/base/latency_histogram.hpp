// Durations counted in buckets, for percentiles of any number of samples in fixed memory.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace stagepost {

/// Buckets grow with the value: 64 to each power of two, so that a percentile is at most 1.6 % above the true one.
class LatencyHistogram {
 public:
  /// A negative duration counts as 0.
  void add(std::chrono::nanoseconds latency);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::chrono::nanoseconds largest() const { return largest_; }
  /// Smallest bucket bound that `fraction` (0 to 1) of the samples do not exceed; 0 without samples.
  [[nodiscard]] std::chrono::nanoseconds percentile(double fraction) const;

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr std::size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::chrono::nanoseconds largest_{0};
};

}  // namespace stagepost
