// The address rewriting and resolving daemon: see service.hpp.
#include "daemon/daemon.hpp"
#include "services/trivial_rewrite/service.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "trivial-rewrite";
  options.set_up_first = true;
  options.needs.network = true;  // tables may be on the network
  options.single_at_limit_one = true;
  return daemon::run(argc, argv, options, trivial_rewrite::serve);
}
