// System calls as functions that return Result: EINTR is retried, descriptors are close-on-exec, errors name the path.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::sys {

/// open(2) with O_CLOEXEC added. `mode` counts only with O_CREAT.
[[nodiscard]] Result<unique_fd> open(const std::string& path, int flags, mode_t mode = 0600);
[[nodiscard]] Result<unique_fd> openat(int directory_fd, const std::string& path, int flags, mode_t mode = 0600);
/// To read a file that others wrote: where it is ours, its time of access stays as it is, so that reading it does not
/// make the file system write.
[[nodiscard]] Result<unique_fd> open_to_read(const std::string& path, int flags);
[[nodiscard]] Result<std::size_t> read(int fd, std::span<char> buffer);
[[nodiscard]] Result<std::size_t> pread(int fd, std::span<char> buffer, off_t offset);
/// Writes all of `bytes`; ENOSPC and friends are errors, also after a part was written.
[[nodiscard]] Result<> write_all(int fd, std::string_view bytes);
[[nodiscard]] Result<> pwrite_all(int fd, std::string_view bytes, off_t offset);
[[nodiscard]] Result<> fsync(int fd);
[[nodiscard]] Result<> fchmod(int fd, mode_t mode);
[[nodiscard]] Result<struct stat> fstat(int fd);
[[nodiscard]] Result<struct stat> stat(const std::string& path);
[[nodiscard]] Result<struct stat> lstat(const std::string& path);
[[nodiscard]] Result<> rename(const std::string& from, const std::string& to);
[[nodiscard]] Result<> unlink(const std::string& path);
[[nodiscard]] Result<> mkdir(const std::string& path, mode_t mode);
/// mkdir -p; existing directories are left alone.
[[nodiscard]] Result<> make_directories(const std::string& path, mode_t mode);
/// Whole file, at most `limit_bytes`; larger is an error (file_too_large), never a silent cut.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit_bytes);
/// Writes `path`.tmp beside the target with `mode`, fsyncs, renames over `path`, fsyncs the directory.
[[nodiscard]] Result<> replace_file(const std::string& path, std::string_view content, mode_t mode);
/// Names in a directory without "." and "..", unsorted.
[[nodiscard]] Result<std::vector<std::string>> list_directory(const std::string& path);
[[nodiscard]] Result<> set_nonblocking(int fd, bool nonblocking = true);
/// Exclusive lock of the whole open file (flock); `wait` false fails with resource_unavailable_try_again when held.
enum class LockWait { no, yes };
[[nodiscard]] Result<> lock_exclusive(int fd, LockWait wait);

}  // namespace stagepost::sys
