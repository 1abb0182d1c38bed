// See the header.
#include "commands/postfix/missing_programs.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <unistd.h>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::postfix {
namespace {

constexpr auto kPrograms = std::to_array<std::string_view>(
    {"anvil", "bounce", "cleanup", "discard",  "dnsblog",    "error",           "flush",  "lmtp",   "local",  "nqmgr",
     "oqmgr", "pickup", "pipe",    "postlogd", "postscreen", "proxymap",        "qmgr",   "qmqpd",  "scache", "showq",
     "smtp",  "smtpd",  "spawn",   "tlsmgr",   "tlsproxy",   "trivial-rewrite", "verify", "virtual"});

/// Whether `word` stands in `text` between characters that no service name has.
bool has_word(std::string_view text, std::string_view word) {
  const auto part_of_name = [](char c) { return text::is_alnum(c) || c == '_' || c == '-' || c == '.'; };
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !part_of_name(text[at - 1])) && (end == text.size() || !part_of_name(text[end]))) { return true; }
  }
  return false;
}

/// What the administrator wrote, expanded.
std::vector<std::string> written_values(const config::Snapshot& config, const config::MasterCf& master) {
  std::vector<std::string> values;
  const auto add = [&](const std::string& raw) { values.push_back(config.expand_text(raw).value_or(raw)); };
  for (const std::string& name : config.names_set()) { add(config.raw(name)); }
  for (const config::ServiceEntry& service : master.services) {
    for (const auto& [name, value] : service.overrides) { add(value); }
  }
  return values;
}

bool is_used(const config::ServiceEntry& service, const std::vector<std::string>& values) {
  const auto any = [&](auto&& matches) { return std::ranges::any_of(values, matches); };
  if (service.type == config::ServiceType::inet || service.type == config::ServiceType::pass) { return true; }
  // Only other programs ask for these, and ours have no such questions.
  if (service.command == "tlsmgr" || service.command == "scache") { return false; }
  if (service.command == "proxymap") {
    return any([](const std::string& value) { return value.find("proxy:") != std::string::npos; });
  }
  if (service.command == "verify") {
    return any([](const std::string& value) { return value.find("reject_unverified_") != std::string::npos; });
  }
  return any([&](const std::string& value) { return has_word(value, service.name); });
}

}  // namespace

std::vector<std::string> missing_programs(const config::Snapshot& config, const config::MasterCf& master) {
  const std::string directory = config.find_text("daemon_directory").value_or("");
  const std::vector<std::string> values = written_values(config, master);
  // Those without which no mail moves are missed even if nobody names them.
  static constexpr std::string_view kOptional[] = {"dnsblog", "nqmgr",  "oqmgr", "pipe",   "postscreen", "proxymap",
                                                   "qmqpd",   "scache", "spawn", "tlsmgr", "tlsproxy",   "verify"};
  std::map<std::string, std::vector<std::string>> missing;  // program: lines
  for (const config::ServiceEntry& service : master.services) {
    if (::access((directory + "/" + service.command).c_str(), X_OK) == 0) { continue; }
    const bool optional = std::ranges::find(kOptional, service.command) != std::end(kOptional);
    if (!optional || is_used(service, values)) { missing[service.command].push_back(std::to_string(service.line)); }
  }
  std::vector<std::string> warnings;
  for (const auto& [program, lines] : missing) {
    std::string text = fmt::format("{}, line {}: no program {}/{}", master.file, text::join(lines, ", "), directory,
                                   printable(program));
    if (std::ranges::find(kPrograms, program) == kPrograms.end()) { text += did_you_mean(program, kPrograms); }
    warnings.push_back(std::move(text));
  }
  return warnings;
}

}  // namespace stagepost::postfix
