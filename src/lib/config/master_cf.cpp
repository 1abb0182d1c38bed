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

struct Word {
  std::string_view text;  ///< without the braces around it and the white space inside them
  bool braced = false;
  std::string problem;  ///< what is wrong with its braces; empty: nothing
};

/// Words at white space outside braces. One that starts with "{" has to end with its counterpart; braces inside a word
/// only keep it together.
std::vector<Word> split_words(std::string_view text) {
  std::vector<Word> words;
  for (std::size_t at = skip_space(text, 0); at < text.size(); at = skip_space(text, at)) {
    const std::size_t start = at;
    std::size_t nesting = 0;
    std::size_t closed = 0;  // behind the brace that closes the first one
    for (; at < text.size() && (nesting > 0 || !text::is_space(text[at])); ++at) {
      if (text[at] == '{') {
        ++nesting;
      } else if (text[at] == '}' && nesting > 0 && --nesting == 0 && closed == 0) {
        closed = at + 1;
      }
    }
    Word word{.text = text.substr(start, at - start), .problem = {}};
    if (word.text.front() == '{') {
      word.braced = true;
      const std::string_view whole = word.text;
      if (closed == 0) {
        word.problem = fmt::format("missing '}}' in \"{}\"", printable(whole));
        word.text = text::trim(whole.substr(1));
      } else {
        if (closed != at) { word.problem = fmt::format("syntax error after '}}' in \"{}\"", printable(whole)); }
        word.text = text::trim(text.substr(start + 1, closed - start - 2));
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

/// An argument as one word of master.cf.
std::string as_word(std::string_view argument, bool first) {
  if (std::ranges::none_of(argument, text::is_space)) { return std::string(argument); }
  // "argv={/bin/x y}" is one word as it is. Behind other arguments Postfix puts it in braces all the same.
  const auto words = split_words(argument);
  if (first && words.size() == 1 && !words[0].braced && words[0].problem.empty()) { return std::string(argument); }
  return "{" + std::string(argument) + "}";
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

/// One entry under construction, with what a lenient reading has to say about it.
struct EntryParser {
  Reading reading;
  std::vector<std::string>& warnings;
  ServiceEntry entry;

  [[nodiscard]] bool strict() const { return reading == Reading::strict; }
  [[nodiscard]] bool first_argument() const { return entry.columns.size() == kFixedColumns + 1; }

  /// An error, or a warning for those who only look.
  Result<> complain(const std::string& problem) {
    if (strict()) { return failure(problem); }
    warnings.push_back("master.cf: " + problem);
    return {};
  }

  Result<> check_braces(const Word& word) { return word.problem.empty() ? Result<>{} : complain(word.problem); }

  void add_argument(std::string_view argument) {
    entry.columns.push_back(as_word(argument, first_argument()));
    entry.args.emplace_back(argument);
  }

  Result<> add_override(const Word& word) {
    auto setting = parse_assignment(word.text);
    if (setting && setting->name.find_first_of("{}") != std::string::npos) {
      setting = failure(fmt::format("syntax error after -o in \"{}\"", printable(word.text)));
    }
    if (!setting) {
      if (strict()) { return std::unexpected(std::move(setting).error()); }
      if (word.braced) { warnings.push_back("master.cf: " + setting.error().message()); }
      entry.columns.emplace_back("-o");
      entry.columns.push_back(as_word(word.text, false));
      return {};
    }
    const std::string assignment = setting->name + "=" + setting->value;
    entry.args.insert(entry.args.end(), {"-o", assignment});
    entry.columns.emplace_back("-o");
    entry.columns.push_back(as_word(assignment, false));
    entry.overrides.emplace_back(std::move(setting->name), std::move(setting->value));
    return {};
  }

  /// Arguments of a daemon: leading options (their letters may be bunched, "-vo name=value"), then the rest unchanged.
  Result<> parse_arguments(std::span<const Word> words) {
    std::size_t i = 0;
    for (; i < words.size() && words[i].text.size() > 1 && words[i].text.front() == '-'; ++i) {
      SP_TRY(check_braces(words[i]));
      const std::string_view letters = words[i].text.substr(1);
      const std::size_t o = letters.find('o');
      if (o == std::string_view::npos || letters.substr(0, o).find_first_not_of("Dv") != std::string_view::npos) {
        add_argument(words[i].text);
        continue;
      }
      if (o > 0) { add_argument("-" + std::string(letters.substr(0, o))); }
      if (letters.size() > o + 1) {
        // "-o{name=value}"
        const std::vector<Word> attached = split_words(letters.substr(o + 1));
        if (attached.size() != 1) { return failure("-o without name=value"); }
        SP_TRY(check_braces(attached[0]));
        SP_TRY(add_override(attached[0]));
      } else if (i + 1 < words.size()) {
        SP_TRY(check_braces(words[++i]));
        SP_TRY(add_override(words[i]));
      } else {
        if (strict()) { return failure("-o without name=value"); }
        add_argument("-o");
      }
    }
    entry.options_end = entry.columns.size();
    for (; i < words.size(); ++i) {
      SP_TRY(check_braces(words[i]));
      add_argument(words[i].text);
    }
    return {};
  }

  Result<> check_startable() const {
    const bool inet = entry.type == ServiceType::inet;
    if (std::ranges::any_of(entry.name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }) ||
        entry.name == "." || entry.name == "..") {
      return failure(fmt::format("invalid service name \"{}\"", printable(entry.name)));
    }
    if (!inet && entry.name.find('/') != std::string::npos) {
      return failure(fmt::format("service name \"{}\" has a \"/\"", entry.name));
    }
    if (inet && entry.columns[2] == "y") { return failure("an inet service cannot be private"); }
    // master executes it below daemon_directory.
    if (entry.command.front() == '{' || entry.command.front() == '-' || entry.command.find('/') != std::string::npos) {
      return failure(fmt::format("invalid command name \"{}\"", printable(entry.command)));
    }
    return {};
  }

  /// A count as written: "-" or decimal; too large is no problem for those who only look.
  Result<std::optional<std::uint32_t>> parse_column_count(std::string_view field, std::string_view name) const {
    if (field == "-") { return std::nullopt; }
    auto count = parse_count(field, name);
    if (!count && !strict() && field.find_first_not_of("0123456789") == std::string_view::npos) { return std::nullopt; }
    SP_TRY(const std::uint32_t value, std::move(count));
    return std::optional<std::uint32_t>(value);
  }

  Result<> parse(const LogicalLine& line) {
    const std::vector<Word> words = split_words(line.text);
    if (words.size() <= kFixedColumns) { return failure("bad field count"); }
    // Columns have no braces of their own: "{smtp x}" is a strange command, not a quoted one.
    std::vector<std::string> columns;
    for (std::size_t i = 0; i <= kFixedColumns; ++i) {
      columns.push_back(words[i].braced ? "{" + std::string(words[i].text) + "}" : std::string(words[i].text));
    }
    entry.line = line.first_line;
    entry.name = columns[0];
    const auto type = std::ranges::find(kTypes, columns[1], &std::pair<std::string_view, ServiceType>::first);
    if (type == std::end(kTypes)) { return failure(fmt::format("invalid type field \"{}\"", printable(columns[1]))); }
    entry.type = type->second;
    SP_TRY(entry.private_, parse_flag(columns[2], "private", true));
    entry.private_ = entry.private_ && entry.type != ServiceType::inet;
    SP_TRY(entry.unprivileged, parse_flag(columns[3], "unprivileged", true));
    SP_TRY(entry.chroot, parse_flag(columns[4], "chroot", false));
    std::string_view wakeup = columns[5];
    entry.wakeup_only_if_used = wakeup.ends_with('?');
    if (entry.wakeup_only_if_used) { wakeup = wakeup == "-?" ? wakeup : wakeup.substr(0, wakeup.size() - 1); }
    const auto seconds = parse_column_count(wakeup, "wakeup");
    if (!seconds) { return failure(fmt::format("invalid wakeup field \"{}\"", printable(columns[5]))); }
    entry.wakeup = std::chrono::seconds(seconds->value_or(0));
    SP_TRY(entry.maxproc, parse_column_count(columns[6], "process_limit"));
    entry.command = columns[7];
    entry.columns = std::move(columns);
    if (strict()) { SP_TRY(check_startable()); }
    return parse_arguments(std::span(words).subspan(kFixedColumns + 1));
  }
};

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

Result<ServiceEntry> parse_service(std::string_view line, Reading reading) {
  std::vector<std::string> warnings;
  EntryParser parser{.reading = reading, .warnings = warnings, .entry = {}};
  SP_TRY(parser.parse({.text = std::string(text::trim(line)), .first_line = 1, .last_line = 1}));
  return std::move(parser.entry);
}

Result<MasterCf> parse_master_cf(std::string_view content, std::string_view file, const FileLimits& limits,
                                 Reading reading) {
  MasterCf result{.file = std::string(file), .services = {}, .warnings = {}};
  SP_TRY(const std::vector<LogicalLine> lines, split_logical_lines(content, file, limits, &result.warnings));
  std::unordered_map<std::string, std::size_t> places;
  for (const LogicalLine& line : lines) {
    EntryParser parser{.reading = reading, .warnings = result.warnings, .entry = {}};
    if (auto parsed = parser.parse(line); !parsed) {
      return std::unexpected(std::move(parsed).error().within(fmt::format("{}, line {}", file, line.first_line)));
    }
    ServiceEntry& entry = parser.entry;
    const auto [place, is_new] = places.try_emplace(entry.key(), result.services.size());
    if (is_new || reading == Reading::as_written) {
      result.services.push_back(std::move(entry));
      continue;
    }
    ServiceEntry& earlier = result.services[place->second];
    result.warnings.push_back(fmt::format("{}, line {}: duplicate entry for {} replaces line {}", file, entry.line,
                                          entry.key(), earlier.line));
    earlier = std::move(entry);
  }
  return result;
}

Result<MasterCf> read_master_cf(const std::string& path, const FileLimits& limits, Reading reading) {
  SP_TRY(const std::string content, sys::read_file(path, limits.file_bytes));
  return parse_master_cf(content, path, limits, reading);
}

}  // namespace stagepost::config
