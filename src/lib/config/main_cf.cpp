#include "config/main_cf.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "config/text_edit.hpp"

namespace stagepost::config {
namespace {

void end_line(std::string& text) {
  if (!text.empty() && text.back() != '\n') { text += '\n'; }
}

}  // namespace

Result<Setting> parse_assignment(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return failure(fmt::format("missing '=' after attribute name: \"{}\"", printable(text)));
  }
  const std::string_view name = text::trim(text.substr(0, equals));
  if (name.empty()) { return failure(fmt::format("missing attribute name: \"{}\"", printable(text))); }
  if (std::ranges::any_of(name, text::is_space)) {
    return failure(fmt::format("missing '=' after attribute name: \"{}\"", printable(text)));
  }
  return Setting{std::string(name), std::string(text::trim(text.substr(equals + 1))), 0};
}

Result<MainCf> parse_main_cf(std::string_view content, std::string_view file, const FileLimits& limits) {
  MainCf result{.file = std::string(file), .settings = {}};
  SP_TRY(const std::vector<LogicalLine> lines, split_logical_lines(content, file, limits, &result.warnings));
  for (const LogicalLine& line : lines) {
    auto setting = parse_assignment(line.text);
    if (!setting) {
      return std::unexpected(std::move(setting).error().within(fmt::format("{}, line {}", file, line.first_line)));
    }
    setting->line = line.first_line;
    result.settings.push_back(*std::move(setting));
  }
  return result;
}

Result<MainCf> read_main_cf(const std::string& path, const FileLimits& limits) {
  SP_TRY(const std::string content, sys::read_file(path, limits.file_bytes));
  return parse_main_cf(content, path, limits);
}

Result<std::string> edit_main_cf(std::string_view content, std::string_view file, std::span<const Edit> edits,
                                 const FileLimits& limits) {
  for (const Edit& edit : edits) {
    if (edit.name.empty() || edit.name.front() == '#' ||
        std::ranges::any_of(edit.name, [](char c) { return text::is_space(c) || c == '=' || c == '\0'; })) {
      return failure(fmt::format("bad parameter name: \"{}\"", printable(edit.name)));
    }
    if (edit.value.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos) {
      return failure(fmt::format("value of {} has more than one line", edit.name));
    }
  }
  SP_TRY(const MainCf parsed, parse_main_cf(content, file, limits));

  // The last edit of a name counts.
  const auto edit_of = [&](std::string_view name) -> const Edit* {
    for (std::size_t i = edits.size(); i-- > 0;) {
      if (edits[i].name == name) { return &edits[i]; }
    }
    return nullptr;
  };

  std::string result;
  std::vector<std::string_view> seen;
  const Edit* current = nullptr;  // the edit that the logical line we are in is subject to
  for (const PhysicalLine& line : split_physical_lines(content)) {
    if (line.role == PhysicalLine::Role::ignored) {
      result += line.text;
      continue;
    }
    if (line.role == PhysicalLine::Role::first) {
      const std::string_view name = text::trim(line.text.substr(0, line.text.find('=')));
      current = edit_of(name);
      if (current != nullptr) { seen.push_back(current->name); }
    }
    if (current == nullptr) {
      result += line.text;
    } else if (current->kind == Edit::Kind::comment_out) {
      result += "#";
      result += line.text;
    } else if (current->kind == Edit::Kind::set && line.role == PhysicalLine::Role::first) {
      result += fmt::format("{} = {}", current->name, text::trim(current->value));
      result += '\n';
    }
  }
  for (const Edit& edit : edits) {
    if (edit.kind == Edit::Kind::set && edit_of(edit.name) == &edit &&
        std::ranges::find(seen, edit.name) == seen.end()) {
      end_line(result);
      result += fmt::format("{} = {}", edit.name, text::trim(edit.value));
      result += '\n';
    }
  }
  return result;
}

Result<> edit_main_cf_file(const std::string& path, std::span<const Edit> edits, const FileLimits& limits) {
  return edit_file(path, limits, [&](std::string_view content) { return edit_main_cf(content, path, edits, limits); });
}

}  // namespace stagepost::config
