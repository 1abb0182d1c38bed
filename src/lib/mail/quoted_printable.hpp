// Quoted-printable encoding (RFC 2045 §6.7) of lines that may come in pieces.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "mail/line.hpp"

namespace stagepost::mail {

/// Emits complete lines of at most 74 octets. What it emits does not depend on how lines are cut into pieces.
class QuotedPrintableEncoder {
 public:
  explicit QuotedPrintableEncoder(std::function<void(Line)> sink) : sink_(std::move(sink)) {}
  void encode(Line line);
  /// Ends an unfinished line with a soft break.
  void finish();

 private:
  void put(char c, bool encoded);

  std::function<void(Line)> sink_;
  std::string line_;
  /// White space that must be encoded if the line ends after it; NUL: none.
  char held_space_ = '\0';
};

}  // namespace stagepost::mail
