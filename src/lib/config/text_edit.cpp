#include "config/text_edit.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::config {

std::vector<PhysicalLine> split_physical_lines(std::string_view content) {
  std::vector<PhysicalLine> lines;
  bool inside = false;
  while (!content.empty()) {
    const std::size_t newline = content.find('\n');
    const std::size_t length = newline == std::string_view::npos ? content.size() : newline + 1;
    const std::string_view line = content.substr(0, length);
    content.remove_prefix(length);
    const std::string_view trimmed = text::trim(line);
    using enum PhysicalLine::Role;
    if (trimmed.empty() || trimmed.front() == '#') {
      lines.push_back({line, ignored});
    } else if (text::is_space(line.front())) {
      lines.push_back({line, inside ? continuation : ignored});
    } else {
      inside = true;
      lines.push_back({line, first});
    }
  }
  return lines;
}

Result<> edit_file(const std::string& path, const FileLimits& limits,
                   const std::function<Result<std::string>(std::string_view)>& edit) {
  // The lock is on the directory, because the file itself is replaced.
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  SP_TRY(const unique_fd lock, sys::open(directory, O_RDONLY | O_DIRECTORY));
  SP_TRY(sys::lock_exclusive(lock.get(), sys::LockWait::yes));
  SP_TRY(const std::string content, sys::read_file(path, limits.file_bytes));
  SP_TRY(const struct stat before, sys::stat(path));
  SP_TRY(const std::string edited, edit(content));
  if (edited == content) { return {}; }
  SP_TRY(sys::replace_file(path, edited, before.st_mode & 07777U));
  SP_TRY(const struct stat now, sys::lstat(path));
  if ((now.st_uid != before.st_uid || now.st_gid != before.st_gid) &&
      ::lchown(path.c_str(), before.st_uid, before.st_gid) < 0) {
    return errno_failure("chown " + path);
  }
  return {};
}

}  // namespace stagepost::config
