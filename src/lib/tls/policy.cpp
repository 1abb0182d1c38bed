#include "tls/policy.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <openssl/ssl.h>

#include "base/text.hpp"
#include "config/snapshot.hpp"

namespace stagepost::tls {
namespace {

constexpr std::string_view kSeparators = ", \t\r\n:";

struct Version {
  std::string_view name;
  int number;
  std::uint64_t option;
};
// SSLv2 is known as a name only: OpenSSL 3 does not have it.
constexpr std::array kVersions = {
    Version{"SSLv2", 0x0002, 0},
    Version{"SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3},
    Version{"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
    Version{"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
    Version{"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
    Version{"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};

const Version* find_version(std::string_view name) {
  const auto* found = std::ranges::find_if(kVersions, [&](const Version& v) { return text::iequals(v.name, name); });
  return found == kVersions.end() ? nullptr : found;
}

/// A version as a bound: a name, or the number OpenSSL has for it ("0304", "0x0304").
Result<int> bound(std::string_view text) {
  if (const Version* version = find_version(text)) { return version->number == 0x0002 ? 0 : version->number; }
  std::string_view digits = text;
  if (text::istarts_with(digits, "0x")) { digits.remove_prefix(2); }
  int value = 0;
  for (const char c : digits) {
    const int digit = text::is_digit(c)                                ? c - '0'
                      : text::lower(c) >= 'a' && text::lower(c) <= 'f' ? text::lower(c) - 'a' + 10
                                                                       : -1;
    if (digit < 0 || value > 0xfff) { return failure(fmt::format("unknown TLS protocol: {}", text)); }
    value = value * 16 + digit;
  }
  if (digits.empty()) { return failure("a TLS protocol is missing"); }
  return value;
}

constexpr std::array<std::pair<std::string_view, Level>, 8> kLevels = {{{"none", Level::none},
                                                                        {"may", Level::may},
                                                                        {"encrypt", Level::encrypt},
                                                                        {"fingerprint", Level::fingerprint},
                                                                        {"dane", Level::dane},
                                                                        {"dane-only", Level::dane_only},
                                                                        {"verify", Level::verify},
                                                                        {"secure", Level::secure}}};

constexpr std::array<std::pair<std::string_view, Grade>, 5> kGrades = {{{"export", Grade::export_},
                                                                        {"low", Grade::low},
                                                                        {"medium", Grade::medium},
                                                                        {"high", Grade::high},
                                                                        {"null", Grade::null}}};

}  // namespace

std::optional<Level> parse_level(std::string_view text) {
  for (const auto& [name, level] : kLevels) {
    if (text::iequals(name, text)) { return level; }
  }
  return std::nullopt;
}

std::string_view level_name(Level level) {
  for (const auto& [name, value] : kLevels) {
    if (value == level) { return name; }
  }
  return "none";
}

Result<ProtocolRange> parse_protocols(std::string_view text) {
  ProtocolRange range;
  std::uint64_t included = 0;
  bool lists_included = false;
  for (std::string_view word : text::split(text, kSeparators)) {
    if (word.starts_with(">=")) {
      SP_TRY(range.minimum, bound(word.substr(2)));
      continue;
    }
    if (word.starts_with("<=")) {
      SP_TRY(range.maximum, bound(word.substr(2)));
      continue;
    }
    const bool exclude = word.starts_with('!');
    if (exclude) { word.remove_prefix(1); }
    const Version* version = find_version(word);
    if (version == nullptr) { return failure(fmt::format("unknown TLS protocol: {}", word)); }
    if (exclude) {
      range.excluded |= version->option;
    } else {
      lists_included = true;
      included |= version->option;
    }
  }
  if (lists_included) {
    for (const Version& version : kVersions) {
      if ((included & version.option) == 0) { range.excluded |= version.option; }
    }
  }
  return range;
}

std::optional<Grade> parse_grade(std::string_view text) {
  for (const auto& [name, grade] : kGrades) {
    if (text::iequals(name, text)) { return grade; }
  }
  return std::nullopt;
}

std::string_view grade_parameter(Grade grade) {
  switch (grade) {
    case Grade::export_:
      return "tls_export_cipherlist";
    case Grade::low:
      return "tls_low_cipherlist";
    case Grade::medium:
      return "tls_medium_cipherlist";
    case Grade::high:
      return "tls_high_cipherlist";
    case Grade::null:
      return "tls_null_cipherlist";
  }
  return "tls_high_cipherlist";
}

Result<std::string> cipher_list(std::string_view grade_list, std::string_view exclude) {
  std::string list(grade_list);
  for (const auto name : text::split(exclude, kSeparators)) {
    if (name.find_first_of("!@") != std::string_view::npos || name.front() == '-' || name.front() == '+') {
      return failure(fmt::format("invalid cipher exclusion: {}", name));
    }
    list += fmt::format(":!{}", name);
  }
  return list;
}

Result<std::string> cipher_list(const config::Snapshot& config, std::string_view grade, std::string_view exclude) {
  const auto known = parse_grade(grade);
  if (!known) { return failure(fmt::format("unknown cipher grade: {}", grade)); }
  return cipher_list(config.text(grade_parameter(*known)), exclude);
}

std::string ClientPolicy::key() const {
  return fmt::format("{};{};{};{:x};{};{};{}", level_name(level), protocols.minimum, protocols.maximum,
                     protocols.excluded, ciphers, servername, text::join(match, ":"));
}

namespace {

struct Words {
  std::string protocols;
  std::string grade;
  std::string exclude;
};

Words defaults_for(const config::Snapshot& config, std::string_view prefix, Level level) {
  const auto value = [&](std::string_view name) { return config.text(fmt::format("{}_tls_{}", prefix, name)); };
  if (!is_mandatory(level)) { return {value("protocols"), value("ciphers"), value("exclude_ciphers")}; }
  return {value("mandatory_protocols"), value("mandatory_ciphers"),
          value("exclude_ciphers") + " " + value("mandatory_exclude_ciphers")};
}

Level configured_level(const config::Snapshot& config, std::string_view prefix, std::string& refuse) {
  const std::string text = config.text(fmt::format("{}_tls_security_level", prefix));
  if (!text.empty()) {
    const auto level = parse_level(text);
    if (!level) { refuse = fmt::format("invalid TLS level \"{}\"", text); }
    return level.value_or(Level::secure);
  }
  // The parameters of old: enforce_tls checks the certificate unless enforce_peername says no.
  if (config.boolean(fmt::format("{}_enforce_tls", prefix))) {
    return config.boolean(fmt::format("{}_tls_enforce_peername", prefix)) ? Level::verify : Level::encrypt;
  }
  return config.boolean(fmt::format("{}_use_tls", prefix)) ? Level::may : Level::none;
}

void finish(ClientPolicy& policy, const config::Snapshot& config, const Words& words) {
  if (policy.level == Level::none || !policy.refuse.empty()) { return; }
  if (policy.level != Level::may && policy.level != Level::encrypt) {
    policy.refuse = fmt::format("TLS security level \"{}\" is not supported", level_name(policy.level));
    return;
  }
  const auto protocols = parse_protocols(words.protocols);
  const auto ciphers = cipher_list(config, words.grade, words.exclude);
  if (!protocols || !ciphers) {
    policy.refuse = protocols ? ciphers.error().context : protocols.error().context;
    return;
  }
  policy.protocols = *protocols;
  policy.ciphers = *ciphers;
}

}  // namespace

ClientPolicy client_policy(const config::Snapshot& config, std::string_view prefix) {
  ClientPolicy policy;
  policy.level = configured_level(config, prefix, policy.refuse);
  policy.servername = config.text(fmt::format("{}_tls_servername", prefix));
  finish(policy, config, defaults_for(config, prefix, policy.level));
  return policy;
}

ClientPolicy policy_from_table(const config::Snapshot& config, std::string_view prefix, std::string_view entry) {
  ClientPolicy policy;
  const auto words = text::split(entry, ", \t\r\n");
  const auto level = words.empty() ? std::nullopt : parse_level(words.front());
  policy.level = level.value_or(Level::secure);
  policy.servername = config.text(fmt::format("{}_tls_servername", prefix));
  if (!level) { policy.refuse = "invalid TLS policy: " + std::string(entry); }
  Words settings = defaults_for(config, prefix, policy.level);
  for (std::size_t i = 1; i < words.size() && policy.refuse.empty(); ++i) {
    const auto equals = words[i].find('=');
    const auto name = words[i].substr(0, equals);
    const auto value = equals == std::string_view::npos ? std::string_view() : words[i].substr(equals + 1);
    if (equals == std::string_view::npos || value.empty()) {
      policy.refuse = fmt::format("malformed attribute in TLS policy: {}", words[i]);
    } else if (text::iequals(name, "protocols")) {
      settings.protocols = value;
    } else if (text::iequals(name, "ciphers")) {
      settings.grade = value;
    } else if (text::iequals(name, "exclude")) {
      settings.exclude = value;
    } else if (text::iequals(name, "servername")) {
      policy.servername = value;
    } else if (text::iequals(name, "match")) {
      policy.match.emplace_back(value);
    } else if (!text::iequals(name, "connection_reuse")) {
      policy.refuse = fmt::format("TLS policy attribute \"{}\" is not supported", name);
    }
  }
  finish(policy, config, settings);
  return policy;
}

}  // namespace stagepost::tls
