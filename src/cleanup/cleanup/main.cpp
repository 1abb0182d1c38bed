#include "cleanup/cleanup/service.hpp"
#include "daemon/daemon.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "cleanup";
  options.set_up_first = true;
  options.needs.writes = {"incoming", "hold", "journal"};
  options.needs.network = true;  // tables may be on the network
  // Without the journal: fsync of many messages at once, each in a thread of its own; the disk groups them.
  options.blocking_threads = 16;
  options.prepare = cleanup::prepare;
  return daemon::run(argc, argv, options, cleanup::serve);
}
