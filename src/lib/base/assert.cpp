#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace stagepost {
namespace {
AssertHandler g_handler = nullptr;  // set once at start, before threads exist
}

void set_assert_handler(AssertHandler handler) noexcept { g_handler = handler; }

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  char message[512];
  std::snprintf(message, sizeof message, "assertion failed: %s (%s:%d)", expression, file, line);
  if (g_handler != nullptr) { g_handler(message); }
  std::fprintf(stderr, "%s\n", message);
  std::abort();
}

}  // namespace stagepost
