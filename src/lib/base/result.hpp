// Errors as values: Error, Result and the SP_TRY family. An expected failure (I/O, parse, lookup, timeout) travels in a
// Result; a mail outcome is a dsn::Status, not an Error; a broken invariant is SP_ASSERT (assert.hpp).
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace stagepost {

/// What went wrong (errno or a layer's own category) and where: "open /var/spool/postfix/incoming/A: Permission
/// denied".
struct Error {
  std::error_code code;
  std::string context;

  [[nodiscard]] std::string message() const;
  /// The same error with "`what`: " in front of its context.
  [[nodiscard]] Error within(std::string_view what) &&;
  [[nodiscard]] bool is(std::errc condition) const { return code == condition; }
};

template <class T = void>
using Result = std::expected<T, Error>;

/// Failure of our own without an errno (syntax, limits): code is std::errc::invalid_argument unless given.
[[nodiscard]] std::unexpected<Error> failure(std::string context, std::errc code = std::errc::invalid_argument);
/// Failure from the current errno.
[[nodiscard]] std::unexpected<Error> errno_failure(std::string context);
[[nodiscard]] std::unexpected<Error> errno_failure(int errno_value, std::string context);

}  // namespace stagepost

#define SP_CONCAT_INNER(a, b) a##b
#define SP_CONCAT(a, b) SP_CONCAT_INNER(a, b)

// SP_TRY(expression);                  propagate the error of a Result<>
// SP_TRY(auto value, expression);      declare `value` from a Result<T>, or propagate
#define SP_TRY_1(keyword, temporary, expression)                                                                \
  if (auto temporary = (expression); !temporary) { keyword ::std::unexpected(::std::move(temporary).error()); } \
  static_assert(true, "")
#define SP_TRY_2(keyword, temporary, declaration, expression)                    \
  auto temporary = (expression);                                                 \
  if (!temporary) { keyword ::std::unexpected(::std::move(temporary).error()); } \
  declaration = *::std::move(temporary)
#define SP_TRY_SELECT(_1, _2, name, ...) name
#define SP_TRY(...) SP_TRY_SELECT(__VA_ARGS__, SP_TRY_2, SP_TRY_1, )(return, SP_CONCAT(sp_try_, __LINE__), __VA_ARGS__)
#define SP_CO_TRY(...) \
  SP_TRY_SELECT(__VA_ARGS__, SP_TRY_2, SP_TRY_1, )(co_return, SP_CONCAT(sp_try_, __LINE__), __VA_ARGS__)
