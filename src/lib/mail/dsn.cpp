// See dsn.hpp.
#include "mail/dsn.hpp"

#include <array>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::dsn {
namespace {

// RFC 3461 sets 100 (ENVID) and 500 (ORCPT); Postfix takes what fits in a line, and so do we.
constexpr std::size_t kValueOctets = 2048;

int hex_digit(char c) {
  // RFC 3461 §4: upper case only.
  if (text::is_digit(c)) { return c - '0'; }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool is_xchar(char c) { return c >= '!' && c <= '~' && c != '+' && c != '='; }

bool is_printable_text(std::string_view s) {
  for (const char c : s) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) { return false; }
  }
  return true;
}

/// Digits at `position`, at most three; 0 if none or too many.
std::size_t count_digits(std::string_view s, std::size_t position) {
  std::size_t count = 0;
  while (position + count < s.size() && text::is_digit(s[position + count])) {
    if (++count > 3) { return 0; }
  }
  return count;
}

void append_utf8(std::uint32_t code_point, std::string& out) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xC0U | (code_point >> 6U));
    out += static_cast<char>(0x80U | (code_point & 0x3FU));
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xE0U | (code_point >> 12U));
    out += static_cast<char>(0x80U | ((code_point >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (code_point & 0x3FU));
  } else {
    out += static_cast<char>(0xF0U | (code_point >> 18U));
    out += static_cast<char>(0x80U | ((code_point >> 12U) & 0x3FU));
    out += static_cast<char>(0x80U | ((code_point >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (code_point & 0x3FU));
  }
}

}  // namespace

std::size_t code_length(std::string_view s) {
  if (s.size() < 5 || (s[0] != '2' && s[0] != '4' && s[0] != '5') || s[1] != '.') { return 0; }
  const std::size_t subject = count_digits(s, 2);
  if (subject == 0 || 2 + subject >= s.size() || s[2 + subject] != '.') { return 0; }
  const std::size_t detail = count_digits(s, 3 + subject);
  const std::size_t length = 3 + subject + detail;
  if (detail == 0 || (length < s.size() && !text::is_space(s[length]))) { return 0; }
  return length;
}

bool is_code(std::string_view s) { return !s.empty() && code_length(s) == s.size(); }

Status split_status(std::string_view text, std::string_view default_code) {
  const std::size_t length = code_length(text);
  if (length == 0) { return {std::string(default_code), std::string(text)}; }
  return {std::string(text.substr(0, length)), std::string(text::trim(text.substr(length)))};
}

std::string with_class(std::string_view code, char class_digit) {
  std::string result(code);
  if (!result.empty()) { result.front() = class_digit; }
  return result;
}

std::optional<Notify> parse_notify(std::string_view value) {
  Notify result = Notify::none;
  for (const std::string_view word : text::split_exact(value, ',')) {
    Notify flag = Notify::none;
    if (text::iequals(word, "NEVER")) {
      flag = Notify::never;
    } else if (text::iequals(word, "SUCCESS")) {
      flag = Notify::success;
    } else if (text::iequals(word, "FAILURE")) {
      flag = Notify::failure;
    } else if (text::iequals(word, "DELAY")) {
      flag = Notify::delay;
    }
    if (flag == Notify::none) { return std::nullopt; }
    result = result | flag;
  }
  if (has(result, Notify::never) && result != Notify::never) { return std::nullopt; }
  return result;
}

std::string format_notify(Notify notify) {
  std::string result;
  constexpr std::array<std::pair<Notify, std::string_view>, 4> kNames{
      {{Notify::never, "NEVER"}, {Notify::success, "SUCCESS"}, {Notify::failure, "FAILURE"}, {Notify::delay, "DELAY"}}};
  for (const auto& [flag, name] : kNames) {
    if (has(notify, flag)) {
      if (!result.empty()) { result += ','; }
      result += name;
    }
  }
  return result;
}

std::optional<Ret> parse_ret(std::string_view value) {
  if (text::iequals(value, "FULL")) { return Ret::full; }
  if (text::iequals(value, "HDRS")) { return Ret::headers; }
  return std::nullopt;
}

std::string_view format_ret(Ret ret) {
  switch (ret) {
    case Ret::full:
      return "FULL";
    case Ret::headers:
      return "HDRS";
    case Ret::none:
      break;
  }
  return "";
}

std::string xtext_encode(std::string_view plain) {
  std::string result;
  result.reserve(plain.size());
  for (const char c : plain) {
    if (is_xchar(c)) {
      result += c;
    } else {
      result += fmt::format("+{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

std::optional<std::string> xtext_decode(std::string_view encoded) {
  std::string result;
  result.reserve(encoded.size());
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    const char c = encoded[i];
    if (c != '+') {
      if (!is_xchar(c)) { return std::nullopt; }
      result += c;
      continue;
    }
    if (i + 2 >= encoded.size()) { return std::nullopt; }
    const int high = hex_digit(encoded[i + 1]);
    const int low = hex_digit(encoded[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) { return std::nullopt; }
    result += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return result;
}

std::optional<std::string> unitext_decode(std::string_view encoded) {
  std::string result;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    const char c = encoded[i];
    if (c != '\\') {
      // A bare '+' or '=' is not allowed, UTF-8 is (checked below).
      if (static_cast<unsigned char>(c) < 0x80 && !is_xchar(c)) { return std::nullopt; }
      result += c;
      continue;
    }
    const std::size_t end = encoded.substr(i).starts_with("\\x{") ? encoded.find('}', i) : std::string_view::npos;
    if (end == std::string_view::npos || end < i + 5 || end > i + 9) { return std::nullopt; }
    std::uint32_t code_point = 0;
    for (std::size_t k = i + 3; k < end; ++k) {
      const int digit = hex_digit(encoded[k]);
      if (digit < 0) { return std::nullopt; }
      code_point = code_point * 16 + static_cast<std::uint32_t>(digit);
    }
    if (code_point == 0 || code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
      return std::nullopt;
    }
    append_utf8(code_point, result);
    i = end;
  }
  return text::is_utf8(result) ? std::optional(std::move(result)) : std::nullopt;
}

std::string unitext_encode(std::string_view plain) {
  std::string result;
  for (const char c : plain) {
    if (static_cast<unsigned char>(c) >= 0x80 || (is_xchar(c) && c != '\\')) {
      result += c;
    } else {
      result += fmt::format("\\x{{{:02X}}}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

std::optional<OriginalRecipient> parse_orcpt(std::string_view value) {
  const std::size_t semicolon = value.find(';');
  if (value.size() > kValueOctets || semicolon == std::string_view::npos || semicolon == 0) { return std::nullopt; }
  OriginalRecipient result{.type = text::to_lower(value.substr(0, semicolon)), .address = {}};
  for (const char c : result.type) {
    if (!text::is_alnum(c) && c != '-') { return std::nullopt; }
  }
  const std::string_view encoded = value.substr(semicolon + 1);
  // RFC 6533 §3: utf-8 addresses come as xtext or as unitext with "\x{...}" and raw UTF-8.
  auto decoded = result.type == "utf-8" ? unitext_decode(encoded) : xtext_decode(encoded);
  if (!decoded && result.type == "utf-8") { decoded = xtext_decode(encoded); }
  if (!decoded || !is_printable_text(*decoded)) { return std::nullopt; }
  result.address = *std::move(decoded);
  return result;
}

std::string format_orcpt(const OriginalRecipient& recipient) {
  std::string result = recipient.type;
  result += ';';
  result += recipient.type == "utf-8" ? unitext_encode(recipient.address) : xtext_encode(recipient.address);
  return result;
}

std::optional<std::string> parse_envid(std::string_view value) {
  if (value.size() > kValueOctets) { return std::nullopt; }
  auto decoded = xtext_decode(value);
  if (!decoded || decoded->empty() || !is_printable_text(*decoded) || !text::is_ascii(*decoded)) {
    return std::nullopt;
  }
  return decoded;
}

}  // namespace stagepost::dsn
