#include "config/master_cf.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <unordered_map>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "config/main_cf.hpp"

namespace stagepost::config {
namespace {

constexpr std::pair<std::string_view, ServiceType> kTypes[] = {
    {"inet", ServiceType::inet}, {"unix", ServiceType::unix_stream}, {"unix-dgram", ServiceType::unix_dgram},
    {"fifo", ServiceType::fifo}, {"pass", ServiceType::pass},
};

constexpr std::size_t kFixedColumns = 7;  // name, type, private, unprivileged, chroot, wakeup, maxproc

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && text::is_space(text[at])) { ++at; }
  return at;
}

/// Words at white space; one that starts with "{" runs to its matching "}" and must end there.
Result<std::vector<std::string_view>> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = skip_space(text, 0); at < text.size(); at = skip_space(text, at)) {
    const std::size_t start = at;
    if (text[at] == '{') {
      std::size_t nesting = 0;
      for (; at < text.size(); ++at) {
        if (text[at] == '{') {
          ++nesting;
        } else if (text[at] == '}' && --nesting == 0) {
          break;
        }
      }
      if (at == text.size()) { return failure(fmt::format("missing '}}' in \"{}\"", printable(text.substr(start)))); }
      ++at;
      if (at < text.size() && !text::is_space(text[at])) {
        return failure(fmt::format("syntax error after '}}' in \"{}\"", printable(text.substr(start))));
      }
    } else {
      while (at < text.size() && !text::is_space(text[at])) { ++at; }
    }
    words.push_back(text.substr(start, at - start));
  }
  return words;
}

/// Without the braces of a {word} and the white space inside them.
std::string_view unbrace(std::string_view word) {
  if (word.size() >= 2 && word.front() == '{' && word.back() == '}') {
    return text::trim(word.substr(1, word.size() - 2));
  }
  return word;
}

Result<bool> parse_flag(std::string_view field, std::string_view name, bool default_value) {
  if (field == "-") { return default_value; }
  if (field != "y" && field != "n") { return failure(fmt::format("invalid {} field \"{}\"", name, printable(field))); }
  return field == "y";
}

Result<std::uint32_t> parse_count(std::string_view field, std::string_view name) {
  const auto number = text::parse_unsigned(field);
  if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
    return failure(fmt::format("invalid {} field \"{}\"", name, printable(field)));
  }
  return static_cast<std::uint32_t>(*number);
}

Result<> add_override(ServiceEntry& entry, std::string_view word) {
  SP_TRY(Setting setting, parse_assignment(unbrace(word)));
  if (setting.name.find_first_of("{}") != std::string::npos) {
    return failure(fmt::format("syntax error after -o in \"{}\"", printable(word)));
  }
  const std::string assignment = setting.name + "=" + setting.value;
  entry.args.insert(entry.args.end(), {"-o", assignment});
  entry.columns.emplace_back("-o");
  entry.columns.push_back(std::ranges::any_of(assignment, text::is_space) ? "{" + assignment + "}" : assignment);
  entry.overrides.emplace_back(std::move(setting.name), std::move(setting.value));
  return {};
}

/// Arguments of a daemon: leading options (their letters may be bunched, "-vo name=value"), then the rest unchanged.
Result<> parse_arguments(ServiceEntry& entry, std::span<const std::string_view> words) {
  std::size_t i = 0;
  for (; i < words.size() && words[i].size() > 1 && words[i].front() == '-'; ++i) {
    const std::string_view letters = words[i].substr(1);
    const std::size_t o = letters.find('o');
    if (o == std::string_view::npos || letters.substr(0, o).find_first_not_of("Dv") != std::string_view::npos) {
      entry.args.emplace_back(words[i]);
      entry.columns.emplace_back(words[i]);
      continue;
    }
    if (o > 0) {
      const std::string flags = "-" + std::string(letters.substr(0, o));
      entry.args.push_back(flags);
      entry.columns.push_back(flags);
    }
    std::string_view value = letters.substr(o + 1);
    if (value.empty()) {
      if (++i == words.size()) { return failure("-o without name=value"); }
      value = words[i];
    }
    SP_TRY(add_override(entry, value));
  }
  for (; i < words.size(); ++i) {
    entry.args.emplace_back(unbrace(words[i]));
    entry.columns.emplace_back(words[i]);
  }
  return {};
}

Result<ServiceEntry> parse_entry(const LogicalLine& line) {
  SP_TRY(const std::vector<std::string_view> words, split_words(line.text));
  if (words.size() <= kFixedColumns) { return failure("bad field count"); }
  ServiceEntry entry;
  entry.line = line.first_line;
  entry.name = words[0];
  if (std::ranges::any_of(entry.name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }) ||
      entry.name == "." || entry.name == "..") {
    return failure(fmt::format("invalid service name \"{}\"", printable(entry.name)));
  }
  const auto type = std::ranges::find(kTypes, words[1], &std::pair<std::string_view, ServiceType>::first);
  if (type == std::end(kTypes)) { return failure(fmt::format("invalid type field \"{}\"", printable(words[1]))); }
  entry.type = type->second;
  const bool inet = entry.type == ServiceType::inet;
  if (!inet && entry.name.find('/') != std::string::npos) {
    return failure(fmt::format("service name \"{}\" has a \"/\"", entry.name));
  }
  SP_TRY(entry.private_, parse_flag(words[2], "private", true));
  if (inet && words[2] == "y") { return failure("an inet service cannot be private"); }
  entry.private_ = entry.private_ && !inet;
  SP_TRY(entry.unprivileged, parse_flag(words[3], "unprivileged", true));
  SP_TRY(entry.chroot, parse_flag(words[4], "chroot", false));
  if (words[5] != "-") {
    std::string_view wakeup = words[5];
    entry.wakeup_only_if_used = wakeup.ends_with('?');
    if (entry.wakeup_only_if_used) { wakeup.remove_suffix(1); }
    SP_TRY(const std::uint32_t seconds, parse_count(wakeup, "wakeup"));
    entry.wakeup = std::chrono::seconds(seconds);
  }
  if (words[6] != "-") { SP_TRY(entry.maxproc, parse_count(words[6], "process_limit")); }
  entry.command = words[7];
  entry.columns.assign(words.begin(), words.begin() + kFixedColumns + 1);
  // master executes it below daemon_directory.
  if (entry.command.front() == '{' || entry.command.front() == '-' || entry.command.find('/') != std::string::npos) {
    return failure(fmt::format("invalid command name \"{}\"", printable(entry.command)));
  }
  SP_TRY(parse_arguments(entry, std::span(words).subspan(kFixedColumns + 1)));
  return entry;
}

}  // namespace

std::string_view to_string(ServiceType type) {
  for (const auto& [name, value] : kTypes) {
    if (value == type) { return name; }
  }
  return "?";
}

const ServiceEntry* MasterCf::find(std::string_view name, ServiceType type) const {
  const auto found =
      std::ranges::find_if(services, [&](const ServiceEntry& s) { return s.name == name && s.type == type; });
  return found == services.end() ? nullptr : &*found;
}

Result<MasterCf> parse_master_cf(std::string_view content, std::string_view file, const FileLimits& limits,
                                 Duplicates duplicates) {
  MasterCf result{.file = std::string(file), .services = {}, .warnings = {}};
  SP_TRY(const std::vector<LogicalLine> lines, split_logical_lines(content, file, limits, &result.warnings));
  std::unordered_map<std::string, std::size_t> places;
  for (const LogicalLine& line : lines) {
    auto entry = parse_entry(line);
    if (!entry) {
      return std::unexpected(std::move(entry).error().within(fmt::format("{}, line {}", file, line.first_line)));
    }
    const auto [place, is_new] = places.try_emplace(entry->key(), result.services.size());
    if (is_new || duplicates == Duplicates::keep) {
      result.services.push_back(*std::move(entry));
      continue;
    }
    ServiceEntry& earlier = result.services[place->second];
    result.warnings.push_back(fmt::format("{}, line {}: duplicate entry for {} replaces line {}", file, entry->line,
                                          entry->key(), earlier.line));
    earlier = *std::move(entry);
  }
  return result;
}

Result<MasterCf> read_master_cf(const std::string& path, const FileLimits& limits, Duplicates duplicates) {
  SP_TRY(const std::string content, sys::read_file(path, limits.file_bytes));
  return parse_master_cf(content, path, limits, duplicates);
}

}  // namespace stagepost::config
