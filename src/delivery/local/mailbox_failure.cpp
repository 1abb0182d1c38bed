#include "delivery/local/mailbox_failure.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace stagepost::local {

delivery::Outcome mailbox_failure(const Error& error) {
  using delivery::Kind;
  constexpr std::array kLasting{std::errc::permission_denied,
                                std::errc::no_such_file_or_directory,
                                std::errc::not_a_directory,
                                std::errc::is_a_directory,
                                std::errc::too_many_links,
                                std::errc::too_many_symbolic_link_levels,
                                std::errc::not_supported,
                                std::errc::filename_too_long,
                                std::errc::no_such_device_or_address};
  delivery::Outcome outcome;
  outcome.kind = Kind::deferred;
  outcome.status.code = "4.2.0";
  if (error.is(std::errc::file_too_large) || error.code.value() == EDQUOT) {
    outcome.kind = Kind::bounced;
    outcome.status.code = "5.2.2";
  } else if (error.is(std::errc::no_space_on_device)) {
    outcome.status.code = "4.2.2";
  } else if (std::ranges::any_of(kLasting, [&](std::errc code) { return error.is(code); })) {
    outcome.kind = Kind::bounced;
    outcome.status.code = "5.2.0";
  }
  return outcome;
}

}  // namespace stagepost::local
