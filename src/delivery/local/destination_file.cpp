#include "delivery/local/destination_file.hpp"

#include <array>
#include <fcntl.h>
#include <iterator>

#include "base/sys.hpp"

namespace stagepost::local {

Result<DestinationFile> read_destination_file(const std::string& path, const std::optional<delivery::Identity>& reader,
                                              const DestinationFileLimits& limits) {
  delivery::Identity rights;
  if (reader) {
    rights = *reader;
  } else {
    SP_TRY(const auto st, sys::stat(path));
    if (st.st_uid != 0) { rights = {st.st_uid, st.st_gid}; }
  }
  SP_TRY(const delivery::ActAs acting, delivery::ActAs::begin(rights));
  // O_NONBLOCK: not to wait for the writer of a FIFO.
  SP_TRY(const unique_fd file, sys::open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  SP_TRY(const auto st, sys::fstat(file.get()));
  if (!S_ISREG(st.st_mode)) { return failure("file " + path + " is not a regular file", std::errc::not_supported); }
  if ((st.st_mode & S_IWOTH) != 0) {
    return failure("file " + path + " is world writable", std::errc::operation_not_permitted);
  }
  DestinationFile found{{}, {st.st_uid, st.st_gid}};
  DestinationLines lines(limits.line_octets);
  const auto take = [&](std::vector<Destination> more) {
    found.destinations.insert(found.destinations.end(), std::make_move_iterator(more.begin()),
                              std::make_move_iterator(more.end()));
  };
  std::array<char, 16384> buffer{};
  std::size_t total = 0;
  for (;;) {
    SP_TRY(const std::size_t got, sys::read(file.get(), buffer));
    if (got == 0) { break; }
    total += got;
    if (total > limits.file_octets) { return failure("file " + path, std::errc::file_too_large); }
    take(lines.feed({buffer.data(), got}));
  }
  take(lines.finish());
  return found;
}

}  // namespace stagepost::local
