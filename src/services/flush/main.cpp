#include "daemon/daemon.hpp"
#include "services/flush/service.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "flush";
  options.needs.writes = {"flush", "deferred", "defer", "incoming"};
  return daemon::run(argc, argv, options, flush::serve);
}
