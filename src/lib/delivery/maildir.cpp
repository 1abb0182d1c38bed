#include "delivery/maildir.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost::delivery {
namespace {

std::string host_name() {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  // Maildir names use '/' and ':' for themselves.
  std::string name(host);
  for (char& c : name) {
    if (c == '/' || c == ':') { c = '_'; }
  }
  return name;
}

std::unexpected<Error> step_failed(std::string_view step, const std::string& path, const Error& error) {
  return std::unexpected(Error{error.code, std::string(step) + " " + path});
}

Result<unique_fd> create_temporary(const std::string& path, const std::string& directory) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL;
  auto file = sys::open(path, kFlags, 0600);
  if (!file && file.error().is(std::errc::no_such_file_or_directory)) {
    for (const char* part : {"/tmp", "/cur", "/new"}) {
      const auto made = sys::make_directories(directory + part, 0700);
      if (!made) { return step_failed("create maildir file", path, made.error()); }
    }
    file = sys::open(path, kFlags, 0600);
  }
  if (!file) { return step_failed("create maildir file", path, file.error()); }
  return file;
}

}  // namespace

Result<> deliver_to_maildir(const std::string& directory, const Identity& identity, queue::MessageReader& reader,
                            const queue::Envelope& envelope, const CopyOptions& options, const MailboxLimits& limits) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  const std::string host = host_name();
  const std::string temporary = fmt::format("{}/tmp/{}.P{}.{}", directory, now.tv_sec, ::getpid(), host);
  SP_TRY(const auto queue_file, sys::fstat(reader.fd()));

  SP_TRY(const ActAs acting, ActAs::begin(identity));
  SP_TRY(const unique_fd file, create_temporary(temporary, directory));
  const auto deliver = [&]() -> Result<> {
    FdTarget target(file.get(), limits.size_limit_bytes);
    SP_TRY(copy_content(reader, envelope, options, target));
    SP_TRY(sys::fsync(file.get()));
    SP_TRY(const auto st, sys::fstat(file.get()));
    const std::string final_name =
        fmt::format("{}/new/{}.V{:x}I{:x}M{}.{}", directory, now.tv_sec, st.st_dev, st.st_ino, now.tv_usec, host);
    auto moved = sys::rename(temporary, final_name);
    if (!moved && moved.error().is(std::errc::no_such_file_or_directory)) {
      SP_TRY(sys::make_directories(directory + "/new", 0700));
      SP_TRY(sys::make_directories(directory + "/cur", 0700));
      moved = sys::rename(temporary, final_name);
    }
    if (!moved) { return step_failed("link", temporary + " to " + final_name, moved.error()); }
    if (st.st_dev != queue_file.st_dev) {
      SP_TRY(const unique_fd new_directory, sys::open(directory + "/new", O_RDONLY | O_DIRECTORY));
      SP_TRY(sys::fsync(new_directory.get()));
    }
    return {};
  };
  auto delivered = deliver();
  if (!delivered) { [[maybe_unused]] const auto removed = sys::unlink(temporary); }
  return delivered;
}

}  // namespace stagepost::delivery
