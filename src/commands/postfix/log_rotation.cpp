// See the header.
#include "commands/postfix/log_rotation.hpp"

#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/subprocess.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::postfix {
namespace {

/// What processes have already sent to the old postlogd still arrives in the old file.
constexpr std::chrono::seconds kPause{1};

}  // namespace

Result<std::string> rotated_name(const std::string& file, const std::string& format, std::time_t when) {
  std::tm local{};
  std::array<char, 256> suffix{};
  if (::localtime_r(&when, &local) == nullptr) { return failure("no local time"); }
  const std::size_t length = std::strftime(suffix.data(), suffix.size(), format.c_str(), &local);
  const std::string_view text(suffix.data(), length);
  if (text.empty() || text.find('/') != std::string_view::npos) {
    return failure(fmt::format("bad maillog_file_rotate_suffix value: \"{}\"", format));
  }
  return fmt::format("{}.{}", file, text);
}

Result<> rotate_log(const config::Snapshot& config, const std::function<bool()>& reopen) {
  const std::string& file = config.text("maillog_file");
  if (file.empty()) { return failure("empty 'maillog_file' parameter value - logfile rotation failed"); }
  if (file.starts_with("/dev/")) { return failure(fmt::format("not rotating '{}'", file)); }
  const auto failed = [&](const Error& error) {
    return failure(fmt::format("logfile '{}' rotation failed: {}", file, error.message()));
  };
  const auto name = rotated_name(file, config.text("maillog_file_rotate_suffix"), std::time(nullptr));
  if (!name) { return failed(name.error()); }
  if (sys::lstat(*name)) { return failed(Error{{}, *name + " exists already"}); }
  if (const auto renamed = sys::rename(file, *name); !renamed) { return failed(renamed.error()); }
  if (reopen()) { std::this_thread::sleep_for(kPause); }
  std::vector<std::string> command;
  for (const std::string_view word : text::split(config.text("maillog_file_compressor"), " \t")) {
    command.emplace_back(word);
  }
  if (command.empty()) { return {}; }
  const std::string compressor = command.front();
  command.push_back(*name);
  const auto status = sys::run_program(command);
  if (!status) { return failed(status.error()); }
  if (*status != 0) { return failed(Error{{}, fmt::format("{} ended with status {}", compressor, *status)}); }
  return {};
}

}  // namespace stagepost::postfix
