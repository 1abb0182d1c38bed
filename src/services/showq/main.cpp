#include "daemon/daemon.hpp"
#include "services/showq/showq.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "showq";
  return daemon::run(argc, argv, options, showq::serve);
}
