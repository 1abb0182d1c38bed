// How many deliveries one destination may have at once: grows with success, shrinks with failure, and says when the
// destination is to be left alone for a while (SCHEDULER_README, "concurrency scheduling"). Pure: no clock, no I/O.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::qmgr {

/// A value of *_destination_concurrency_positive_feedback or _negative_feedback, as a function of the concurrency.
struct Feedback {
  enum class Form : unsigned char { constant, per_concurrency, per_square_root };
  Form form = Form::constant;
  double amount = 1.0;

  /// "1", "1/3", "1 / concurrency", "0.5 / sqrt_concurrency". Error: another form, or an amount outside 0..1.
  [[nodiscard]] static Result<Feedback> parse(std::string_view text);
  [[nodiscard]] double at(std::size_t concurrency) const;
};

struct ConcurrencyRules {
  std::size_t initial = 5;  ///< initial_destination_concurrency
  std::size_t limit = 20;   ///< *_destination_concurrency_limit; 0: none
  Feedback positive = {};
  Feedback negative = {};
  double failed_cohort_limit = 1.0;  ///< *_destination_concurrency_failed_cohort_limit; 0: never dead
};

class ConcurrencyWindow {
 public:
  explicit ConcurrencyWindow(const ConcurrencyRules& rules);

  /// Deliveries that may run at once; 0 when dead.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool dead() const { return size_ == 0; }

  /// A delivery ended without connection or handshake failure. `busy`: deliveries that ran, this one included.
  void succeeded(std::size_t busy);
  /// A delivery ended with connection or handshake failure.
  void failed();

 private:
  const ConcurrencyRules* rules_;  // belongs to the transport, which outlives its destinations
  std::size_t size_;
  double success_ = 0;
  double failure_ = 0;
  double failed_cohorts_ = 0;
};

}  // namespace stagepost::qmgr
