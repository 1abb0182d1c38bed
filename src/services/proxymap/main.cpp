// proxymap(8) and, under its other name, proxywrite: opens tables for the rest of the mail system.
#include "services/proxymap/service.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "proxymap";
  options.needs.network = true;                // tables may be on the network
  options.needs.writes = {"$data_directory"};  // caches that proxywrite keeps
  options.single_at_limit_one = true;
  return daemon::run(argc, argv, options, proxymap::serve);
}
