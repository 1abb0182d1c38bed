#include "config/main_cf.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::config {
namespace {

struct PhysicalLine {
  std::string_view text;  ///< with its newline, if it has one
  bool comment_or_blank = false;
  bool continuation = false;
};

std::vector<PhysicalLine> split_physical_lines(std::string_view content) {
  std::vector<PhysicalLine> lines;
  while (!content.empty()) {
    const std::size_t newline = content.find('\n');
    const std::size_t length = newline == std::string_view::npos ? content.size() : newline + 1;
    const std::string_view line = content.substr(0, length);
    const std::string_view trimmed = text::trim(line);
    const bool ignored = trimmed.empty() || trimmed.front() == '#';
    lines.push_back({line, ignored, !ignored && text::is_space(line.front())});
    content.remove_prefix(length);
  }
  return lines;
}

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
  bool any_logical_line = false;
  for (const PhysicalLine& line : split_physical_lines(content)) {
    if (line.comment_or_blank || (line.continuation && !any_logical_line)) {
      result += line.text;
      continue;
    }
    if (!line.continuation) {
      any_logical_line = true;
      const std::string_view name = text::trim(line.text.substr(0, line.text.find('=')));
      current = edit_of(name);
      if (current != nullptr) { seen.push_back(current->name); }
    }
    if (current == nullptr) {
      result += line.text;
    } else if (current->kind == Edit::Kind::comment_out) {
      result += "#";
      result += line.text;
    } else if (current->kind == Edit::Kind::set && !line.continuation) {
      result += text::trim_end(fmt::format("{} = {}", current->name, text::trim(current->value)));
      result += '\n';
    }
  }
  for (const Edit& edit : edits) {
    if (edit.kind == Edit::Kind::set && edit_of(edit.name) == &edit &&
        std::ranges::find(seen, edit.name) == seen.end()) {
      end_line(result);
      result += text::trim_end(fmt::format("{} = {}", edit.name, text::trim(edit.value)));
      result += '\n';
    }
  }
  return result;
}

namespace {

Result<> replace_keeping_owner(const std::string& path, std::string_view content, const struct stat& like) {
  SP_TRY(sys::replace_file(path, content, like.st_mode & 07777U));
  SP_TRY(const struct stat now, sys::lstat(path));
  if ((now.st_uid != like.st_uid || now.st_gid != like.st_gid) &&
      ::lchown(path.c_str(), like.st_uid, like.st_gid) < 0) {
    return errno_failure("chown " + path);
  }
  return {};
}

}  // namespace

Result<> edit_main_cf_file(const std::string& path, std::span<const Edit> edits, const FileLimits& limits) {
  // Two editors at once must not lose each other's change. The lock is on the directory, which outlives the file.
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  SP_TRY(const unique_fd lock, sys::open(directory, O_RDONLY | O_DIRECTORY));
  SP_TRY(sys::lock_exclusive(lock.get(), sys::LockWait::yes));
  SP_TRY(const std::string content, sys::read_file(path, limits.file_bytes));
  SP_TRY(const struct stat before, sys::stat(path));
  SP_TRY(const std::string edited, edit_main_cf(content, path, edits, limits));
  return edited == content ? Result<>() : replace_keeping_owner(path, edited, before);
}

}  // namespace stagepost::config
