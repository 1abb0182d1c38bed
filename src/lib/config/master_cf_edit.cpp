#include "config/master_cf_edit.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/text_edit.hpp"

namespace stagepost::config {
namespace {

constexpr std::size_t kColumns = 8;  // with the command

bool matches(std::string_view pattern, std::string_view text) { return pattern == "*" || pattern == text; }

}  // namespace

std::string format_command(std::string start, const ServiceEntry& entry, Fold fold) {
  constexpr std::size_t kWidth = 80;
  std::string result = std::move(start) + entry.command;
  std::size_t line_start = 0;
  bool after_override = false;
  for (std::size_t i = kColumns; i < entry.columns.size(); ++i) {
    std::string piece = entry.columns[i];
    const bool override = piece == "-o" && i + 1 < entry.options_end;
    if (override) { piece += " " + entry.columns[++i]; }
    if (fold == Fold::yes && (override || after_override || result.size() - line_start + 1 + piece.size() >= kWidth)) {
      result += "\n";
      line_start = result.size();
      result += "    ";
    } else {
      result += ' ';
    }
    after_override = override;
    result += piece;
  }
  return result;
}

std::string format_entry(const ServiceEntry& entry, Fold fold) {
  constexpr std::array<std::size_t, kColumns> kTabs{0, 11, 17, 25, 33, 41, 49, 57};
  std::string result;
  for (std::size_t i = 0; i < kTabs.size(); ++i) {
    if (i > 0) {
      result += ' ';
      result.resize(std::max(result.size(), kTabs[i]), ' ');
    }
    if (i + 1 < kTabs.size()) { result += entry.columns[i]; }
  }
  return format_command(std::move(result), entry, fold);
}

Result<std::string> edit_master_cf(std::string_view content, std::string_view file, const ServiceEdit& edit,
                                   const FileLimits& limits) {
  SP_TRY(const MasterCf parsed, parse_master_cf(content, file, limits, Reading::as_written));
  std::string replacement;
  if (edit.kind == ServiceEdit::Kind::set) {
    if (edit.entry.find('\n') != std::string::npos) { return failure("an entry cannot have more than one line"); }
    const auto entry = parse_service(edit.entry, Reading::as_written);
    if (!entry) { return failure(fmt::format("{} in \"{}\"", entry.error().message(), printable(edit.entry))); }
    replacement = format_entry(*entry, Fold::yes) + "\n";
  }
  // The parser gives one service per logical line, in the same order.
  std::string result;
  std::size_t next = 0;
  bool affected = false;
  bool written = false;
  for (const PhysicalLine& line : split_physical_lines(content)) {
    if (line.role == PhysicalLine::Role::ignored) {
      result += line.text;
      continue;
    }
    const bool first = line.role == PhysicalLine::Role::first;
    if (first) {
      const ServiceEntry& service = parsed.services[next++];
      affected = matches(edit.name, service.name) && matches(edit.type, to_string(service.type));
    }
    if (!affected) {
      result += line.text;
    } else if (edit.kind == ServiceEdit::Kind::comment_out) {
      result += '#';
      result += line.text;
    } else if (edit.kind == ServiceEdit::Kind::set && first && !written) {
      result += replacement;
      written = true;
    }
  }
  if (edit.kind == ServiceEdit::Kind::set && !written) {
    if (!result.empty() && result.back() != '\n') { result += '\n'; }
    result += replacement;
  }
  return result;
}

Result<> edit_master_cf_file(const std::string& path, const ServiceEdit& edit, const FileLimits& limits) {
  return edit_file(path, limits, [&](std::string_view content) { return edit_master_cf(content, path, edit, limits); });
}

}  // namespace stagepost::config
