#include "base/result.hpp"

#include <cerrno>

namespace stagepost {

std::string Error::message() const {
  if (context.empty()) { return code.message(); }
  // Failures of our own carry their whole text in `context`; only system errors add something by their code.
  if (code == std::errc::invalid_argument && code.category() == std::generic_category()) { return context; }
  return context + ": " + code.message();
}

Error Error::within(std::string_view what) && {
  context = context.empty() ? std::string(what) : std::string(what) + ": " + context;
  return std::move(*this);
}

std::unexpected<Error> failure(std::string context, std::errc code) {
  return std::unexpected(Error{std::make_error_code(code), std::move(context)});
}

std::unexpected<Error> errno_failure(std::string context) { return errno_failure(errno, std::move(context)); }

std::unexpected<Error> errno_failure(int errno_value, std::string context) {
  return std::unexpected(Error{std::error_code(errno_value, std::system_category()), std::move(context)});
}

}  // namespace stagepost
