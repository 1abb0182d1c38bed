// See the header.
#include "master/listen_socket.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/defer.hpp"
#include "base/sys.hpp"

namespace stagepost::master {
namespace {

using config::ServiceType;

Result<unique_fd> listen_inet(const net::Endpoint& endpoint) {
  const std::string where = fmt::format("{} port {}", endpoint.address.text(), endpoint.port);
  const bool six = endpoint.address.family() == net::Family::ipv6;
  unique_fd fd(::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) { return errno_failure("socket " + where); }
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return errno_failure("setsockopt(SO_REUSEADDR) " + where);
  }
  // IPv4 clients come in by their own socket, so that inet_protocols means what it says.
  if (six && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
    return errno_failure("setsockopt(IPV6_V6ONLY) " + where);
  }
  sockaddr_storage storage{};
  const socklen_t length = endpoint.to_sockaddr(storage);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return errno_failure("bind " + where);
  }
  if (::listen(fd.get(), SOMAXCONN) != 0) { return errno_failure("listen " + where); }
  return fd;
}

Result<> give_to(const std::string& path, const std::optional<SocketOwner>& owner) {
  if (owner && ::lchown(path.c_str(), owner->uid, owner->gid) != 0) { return errno_failure("chown " + path); }
  return {};
}

Result<> remove_old(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) { return errno_failure("remove old " + path); }
  return {};
}

Result<unique_fd> listen_unix(const ListenSpec& spec, const std::optional<SocketOwner>& owner) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (spec.path.size() >= sizeof address.sun_path) { return failure("UNIX-domain socket name too long: " + spec.path); }
  std::memcpy(address.sun_path, spec.path.c_str(), spec.path.size() + 1);
  const int type = spec.type == ServiceType::unix_dgram ? SOCK_DGRAM : SOCK_STREAM;
  unique_fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) { return errno_failure("socket " + spec.path); }
  SP_TRY(remove_old(spec.path));
  {
    // Who may connect is decided by the directory: private/ is for us only, public/ for everyone who may search it.
    const mode_t old = ::umask(0111);
    const Defer restore([old] { ::umask(old); });
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return errno_failure("bind " + spec.path);
    }
  }
  SP_TRY(give_to(spec.path, owner));
  if (type == SOCK_STREAM && ::listen(fd.get(), SOMAXCONN) != 0) { return errno_failure("listen " + spec.path); }
  return fd;
}

Result<unique_fd> open_fifo(const ListenSpec& spec, const std::optional<SocketOwner>& owner) {
  const std::string& path = spec.path;
  const auto present = sys::lstat(path);
  if (present && !S_ISFIFO(present->st_mode)) { SP_TRY(remove_old(path)); }
  if (::mkfifo(path.c_str(), 0622) != 0 && errno != EEXIST) { return errno_failure("create fifo " + path); }
  // Open for writing too: with a writer present, readers never see end of file between two triggers.
  SP_TRY(unique_fd fd, sys::open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW));
  SP_TRY(const struct stat status, sys::fstat(fd.get()));
  if (!S_ISFIFO(status.st_mode)) { return failure("not a fifo: " + path); }
  SP_TRY(sys::fchmod(fd.get(), 0622));
  SP_TRY(give_to(path, owner));
  return fd;
}

}  // namespace

Result<unique_fd> open_listener(const ListenSpec& spec, const std::optional<SocketOwner>& owner) {
  switch (spec.type) {
    case ServiceType::inet:
      return listen_inet(spec.endpoint);
    case ServiceType::fifo:
      return open_fifo(spec, owner);
    case ServiceType::unix_stream:
    case ServiceType::unix_dgram:
    case ServiceType::pass:
      break;
  }
  return listen_unix(spec, owner);
}

}  // namespace stagepost::master
