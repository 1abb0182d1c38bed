// postkick(1): sends a trigger request to a service of the running mail system.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/command_help.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "config/snapshot.hpp"

namespace {

using namespace stagepost;

Result<> kick(const std::string& path, std::string_view request) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) { return failure("path too long: " + path); }
  path.copy(address.sun_path, path.size());
  const unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_failure("connect to " + path);
  }
  return sys::write_all(socket.get(), request);
}

int fatal(std::string_view problem) {
  fmt::print(stderr, "postkick: fatal: {}\n", problem);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  config::LoadOptions load;
  load.process_name = "postkick";
  if (const char* directory = std::getenv("MAIL_CONFIG")) { load.config_directory = directory; }
  constexpr std::string_view kUsage = "usage: postkick [-c config_dir] [-v] class service request";
  for (int option = 0; (option = ::getopt(argc, argv, "c:v")) != -1;) {
    if (option == '?') { return fatal(kUsage); }
    if (option == 'c') { load.config_directory = ::optarg; }
  }
  if (argc - ::optind != 3) { return fatal(kUsage); }
  const std::string service_class = argv[::optind];
  const std::string service = argv[::optind + 1];
  if (service_class != "public" && service_class != "private") { return fatal("class must be public or private"); }
  if (service.empty() || service.find('/') != std::string::npos) { return fatal("bad service name: " + service); }
  const auto config = config::Snapshot::load(load);
  if (!config) { return fatal(config.error().message()); }
  const std::string& queue_directory = (*config)->text("queue_directory");
  if (::chdir(queue_directory.c_str()) != 0) { return fatal("chdir " + queue_directory + ": " + std::strerror(errno)); }
  const auto sent = kick(service_class + "/" + service, argv[::optind + 2]);
  return sent ? 0 : fatal(sent.error().message());
}
