// See the header. The leak checker speaks to standard error and by the exit status, which is one that nothing else
// uses.
#include "log/sanitizer_report.hpp"

#include <string_view>

#include "log/log.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STAGEPOST_ASAN 1
#endif
#endif

#ifdef STAGEPOST_ASAN

extern "C" {
void __asan_set_error_report_callback(void (*callback)(const char*));
void __ubsan_get_current_report_data(const char** kind, const char** message, const char** file, unsigned* line,
                                     unsigned* column, char** address);
/// Asked by the runtime at start; ASAN_OPTIONS overrides it.
const char* __asan_default_options() { return "exitcode=86"; }
/// Called by the runtime for each finding; its own definition, which does nothing, is weak.
void __ubsan_on_report();
}

namespace stagepost::log {
namespace {

void on_asan_report(const char* report) {
  std::string_view text(report);
  // The first lines name the finding and where it happened; the rest is memory.
  for (int lines = 0; lines < 40 && !text.empty(); ++lines) {
    const std::size_t end = text.find('\n');
    write(Level::panic, text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

}  // namespace

void log_sanitizer_reports() noexcept { __asan_set_error_report_callback(on_asan_report); }

}  // namespace stagepost::log

void __ubsan_on_report() {
  const char* kind = "";
  const char* message = "";
  const char* file = "";
  unsigned line = 0;
  unsigned column = 0;
  char* address = nullptr;
  __ubsan_get_current_report_data(&kind, &message, &file, &line, &column, &address);
  stagepost::log::write(stagepost::log::Level::panic,
                        fmt::format("UndefinedBehaviorSanitizer: {}: {} in {}:{}", kind, message, file, line));
}

#else

namespace stagepost::log {
void log_sanitizer_reports() noexcept {}
}  // namespace stagepost::log

#endif
