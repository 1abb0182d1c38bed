// SP_ASSERT: a broken invariant stops the process, in release builds too; master starts a fresh one. Never for input.
#pragma once

namespace stagepost {

/// Reports to stderr and to the handler set by set_assert_handler (the logger), then aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

using AssertHandler = void (*)(const char* message) noexcept;
void set_assert_handler(AssertHandler handler) noexcept;

}  // namespace stagepost

#define SP_ASSERT(condition) \
  (static_cast<bool>(condition) ? void(0) : ::stagepost::assertion_failed(#condition, __FILE__, __LINE__))
