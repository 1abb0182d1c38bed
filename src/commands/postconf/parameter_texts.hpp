// What each parameter is for and who reads it, as text for people. The table is made while the program is built, from
// docs/parameters and docs/man (src/manual/make_parameter_texts.cpp).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/registry.hpp"

namespace stagepost::postconf {

struct ParameterText {
  /// A parameter, or "_suffix" for one that every transport has.
  std::string_view name;
  std::string_view description;
  /// "cleanup(8), smtpd(8)"; empty: no program of this release.
  std::string_view readers;
};

/// Sorted by name (bytewise).
[[nodiscard]] std::span<const ParameterText> parameter_texts();
/// nullptr when there is none. A suffix is found under itself only.
[[nodiscard]] const ParameterText* find_parameter_text(std::string_view name);

/// "integer, 1 to 1000", "time, in days without a unit, at least 1 s".
[[nodiscard]] std::string describe_type(const config::Parameter& parameter);

}  // namespace stagepost::postconf
