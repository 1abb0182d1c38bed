#include "qmgr/concurrency.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.hpp"

namespace stagepost::qmgr {
namespace {

Result<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0)) {
    return failure("bad feedback value: " + std::string(text));
  }
  return value;
}

}  // namespace

Result<Feedback> Feedback::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  Feedback feedback;
  SP_TRY(feedback.amount, parse_number(text::trim(text.substr(0, slash))));
  if (slash != std::string_view::npos) {
    const std::string_view divisor = text::trim(text.substr(slash + 1));
    if (text::iequals(divisor, "concurrency")) {
      feedback.form = Form::per_concurrency;
    } else if (text::iequals(divisor, "sqrt_concurrency")) {
      feedback.form = Form::per_square_root;
    } else {
      SP_TRY(const double number, parse_number(divisor));
      if (number <= 0) { return failure("bad feedback value: " + std::string(text)); }
      feedback.amount /= number;
    }
  }
  if (feedback.amount > 1) { return failure("feedback value not in the range 0..1: " + std::string(text)); }
  return feedback;
}

double Feedback::at(std::size_t concurrency) const {
  const auto n = static_cast<double>(std::max<std::size_t>(concurrency, 1));
  switch (form) {
    case Form::constant:
      return amount;
    case Form::per_concurrency:
      return amount / n;
    case Form::per_square_root:
      return amount / std::sqrt(n);
  }
  return amount;
}

ConcurrencyWindow::ConcurrencyWindow(const ConcurrencyRules& rules)
    : rules_(&rules),
      size_(std::max<std::size_t>(1, rules.limit == 0 ? rules.initial : std::min(rules.initial, rules.limit))) {}

// Sums of fractions such as 1/3 fall short of 1 by rounding; this much is forgiven.
constexpr double kRounding = 1e-6;

void ConcurrencyWindow::succeeded(std::size_t busy) {
  failed_cohorts_ = 0;
  // A window far wider than what is in use would make later negative feedback come too late.
  if (size_ >= busy + rules_->initial) { return; }
  success_ += rules_->positive.at(size_);
  while (success_ >= 1 - kRounding) {
    ++size_;
    failure_ = 0;
    success_ -= 1;
  }
  if (rules_->limit != 0) { size_ = std::min(size_, rules_->limit); }
}

void ConcurrencyWindow::failed() {
  if (size_ == 0) { return; }
  failed_cohorts_ += 1.0 / static_cast<double>(size_);
  if (rules_->failed_cohort_limit > 0 && failed_cohorts_ > rules_->failed_cohort_limit + kRounding) {
    size_ = 0;
    return;
  }
  // The step down comes at the beginning of a run of failures, so that overload is corrected at once.
  failure_ -= rules_->negative.at(size_);
  while (failure_ < -kRounding) {
    if (size_ > 1) { --size_; }
    failure_ += 1;
    success_ = 0;
  }
}

}  // namespace stagepost::qmgr
