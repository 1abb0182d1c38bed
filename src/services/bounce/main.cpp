#include "daemon/daemon.hpp"
#include "services/bounce/service.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "bounce";
  options.needs.writes = {"bounce", "defer", "trace"};
  return daemon::run(argc, argv, options, bounce::serve);
}
