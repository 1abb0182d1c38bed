#include "commands/postconf/options.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/main_cf.hpp"

namespace stagepost::postconf {
namespace {

constexpr std::string_view kUsage =
    "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce texts)] [-c config_dir] "
    "[-C class,...] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] "
    "[-h (no names)] [-H (no values)] [-j (JSON)] [-l (lock types)] [-m (map types)] [-M (master.cf)] "
    "[-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] "
    "[-P (master.cf parameters) [-PP (those of main.cf, too)]] [-q (no deprecation warnings)] [-t (bounce templates)] "
    "[-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand parameter values)] "
    "[-X (exclude)] [-# (comment-out)] [name...]";

constexpr std::string_view kLetters = "aAbcCdefFhHjlmMnopPqtTvxX#";
constexpr std::string_view kWithValue = "cCoT";

struct SubjectRow {
  char letter;
  Subject subject;
  /// Options that may stand beside it, apart from -c, -C, -q and -v.
  std::string_view allowed;
};
constexpr SubjectRow kSubjects[] = {
    {'a', Subject::sasl_server_types, ""},
    {'A', Subject::sasl_client_types, ""},
    {'b', Subject::report_texts, ""},
    {'F', Subject::fields, "efhHjox"},
    {'l', Subject::lock_types, ""},
    {'m', Subject::table_types, ""},
    {'M', Subject::services, "efjoxX#"},
    {'p', Subject::parameters, "defhHjnoxX#"},
    {'P', Subject::service_parameters, "efhHjoxX"},
    {'t', Subject::report_templates, ""},
    {'T', Subject::tls_features, ""},
};

/// Letters that cannot be given together: one of the left with one of the right.
constexpr std::pair<std::string_view, std::string_view> kExclusive[] = {
    {"deX#", "deX#"}, {"eX#", "fhHjnox"}, {"hH", "hH"}, {"d", "no"}, {"j", "fhH"},
};

Result<> apply_classes(Options& options, std::string_view value) {
  options.classes.clear();
  for (const std::string_view name : text::split(value, ", \t\r\n")) {
    if (text::iequals(name, "all")) {
      options.classes.insert({"builtin", "service", "user"});
    } else if (std::string lower = text::to_lower(name); lower == "builtin" || lower == "service" || lower == "user") {
      options.classes.insert(std::move(lower));
    } else {
      return failure(fmt::format("unknown -C option value \"{}\" in \"{}\"", printable(name), printable(value)));
    }
  }
  return {};
}

Result<> apply_subject(Options& options, std::string_view letters) {
  const SubjectRow* chosen = nullptr;
  for (const SubjectRow& row : kSubjects) {
    if (letters.find(row.letter) == std::string_view::npos) { continue; }
    if (chosen != nullptr) { return failure(fmt::format("specify one of -{} -{}", chosen->letter, row.letter)); }
    chosen = &row;
  }
  if (chosen == nullptr) { return {}; }
  options.subject = chosen->subject;
  for (const char letter : std::string_view("defhHjnoxX#")) {
    if (letters.find(letter) != std::string_view::npos && chosen->allowed.find(letter) == std::string_view::npos) {
      return failure(fmt::format("with option -{}, do not specify -{}", chosen->letter, letter));
    }
  }
  return {};
}

Result<> check_exclusive(std::string_view letters) {
  const auto given = [&](char letter) { return letters.find(letter) != std::string_view::npos; };
  for (std::size_t i = 0; i < kLetters.size(); ++i) {
    for (std::size_t j = i + 1; j < kLetters.size(); ++j) {
      if (!given(kLetters[i]) || !given(kLetters[j])) { continue; }
      for (const auto& [left, right] : kExclusive) {
        const auto in = [](std::string_view group, char letter) {
          return group.find(letter) != std::string_view::npos;
        };
        if ((in(left, kLetters[i]) && in(right, kLetters[j])) || (in(right, kLetters[i]) && in(left, kLetters[j]))) {
          return failure(fmt::format("specify one of -{} -{}", kLetters[i], kLetters[j]));
        }
      }
    }
  }
  return {};
}

/// Options as getopt(3) reads them: up to "--" or the first word that is none. Gives the letters and the index of the
/// first argument.
struct Words {
  std::string letters;
  std::vector<std::pair<char, std::string>> values;
  std::size_t next = 0;
};

Result<Words> split_options(const std::vector<std::string>& arguments) {
  Words words;
  for (; words.next < arguments.size(); ++words.next) {
    const std::string_view argument = arguments[words.next];
    if (argument == "--") {
      ++words.next;
      break;
    }
    if (argument.size() < 2 || argument.front() != '-') { break; }
    for (std::size_t at = 1; at < argument.size(); ++at) {
      const char letter = argument[at];
      if (kLetters.find(letter) == std::string_view::npos) {
        return failure(fmt::format("invalid option -- '{}'\n{}", printable(argument.substr(at, 1)), kUsage));
      }
      words.letters += letter;
      if (kWithValue.find(letter) == std::string_view::npos) { continue; }
      std::string value(argument.substr(at + 1));
      if (value.empty()) {
        if (++words.next == arguments.size()) {
          return failure(fmt::format("option requires an argument -- '{}'\n{}", letter, kUsage));
        }
        value = arguments[words.next];
      }
      words.values.emplace_back(letter, std::move(value));
      break;
    }
    if (words.letters.find('b') != std::string::npos && words.letters.find('t') != std::string::npos) {
      return failure("specify one of -b and -t");
    }
  }
  return words;
}

Result<> check_arguments(const Options& options) {
  const bool removes = options.exclude || options.comment_out;
  if (options.edit && options.arguments.empty()) { return failure("-e requires name=value argument"); }
  if (removes && options.arguments.empty()) { return failure("missing service argument"); }
  if ((options.subject == Subject::report_texts || options.subject == Subject::report_templates) &&
      options.arguments.size() > 1) {
    return failure("options -b and -t require at most one template file");
  }
  if (!options.changes_file()) { return {}; }
  for (const std::string& argument : options.arguments) {
    if (argument.find_first_of("\r\n") != std::string::npos) {
      return failure("-e, -X, or -# accepts no multi-line input");
    }
    if (text::trim(argument).starts_with('#')) { return failure("-e, -X, or -# accepts no comment input"); }
    if (options.edit && argument.find('=') == std::string::npos) {
      return failure(fmt::format("missing '=' after attribute name: \"{}\"", printable(argument)));
    }
  }
  return {};
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& arguments) {
  SP_TRY(Words words, split_options(arguments));
  Options options;
  options.arguments.assign(arguments.begin() + static_cast<std::ptrdiff_t>(words.next), arguments.end());
  const bool lists = words.letters.find_first_of("aAblmtT") != std::string::npos;
  if (!lists && std::ranges::any_of(options.arguments, [](const std::string& argument) {
        return argument.find('=') != std::string::npos;
      })) {
    words.letters += 'e';
  }
  SP_TRY(apply_subject(options, words.letters));
  SP_TRY(check_exclusive(words.letters));
  const auto given = [&](char letter) { return words.letters.find(letter) != std::string::npos; };
  options.defaults = given('d');
  options.edit = given('e');
  options.fold = given('f');
  options.hide_name = given('h');
  options.hide_value = given('H');
  options.json = given('j');
  options.only_set = given('n');
  options.expand = given('x');
  options.inherited = std::ranges::count(words.letters, 'P') > 1;
  options.exclude = given('X');
  options.comment_out = given('#');
  for (auto& [letter, value] : words.values) {
    if (letter == 'c') {
      options.config_directory = std::move(value);
    } else if (letter == 'C') {
      SP_TRY(apply_classes(options, value));
    } else if (letter == 'T') {
      options.tls_mode = std::move(value);
    } else {
      auto setting = config::parse_assignment(value);
      if (!setting) {
        // The value is in the message already, behind the reason.
        const std::string reason = setting.error().message();
        return failure(
            fmt::format("invalid parameter override: {}: {}", printable(value), reason.substr(0, reason.find(": \""))));
      }
      options.overrides.emplace_back(std::move(setting->name), std::move(setting->value));
    }
  }
  SP_TRY(check_arguments(options));
  return options;
}

}  // namespace stagepost::postconf
