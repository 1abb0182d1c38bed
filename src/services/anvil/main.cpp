#include "services/anvil/service.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "anvil";
  options.kind = daemon::Kind::single;
  return daemon::run(argc, argv, options, anvil::serve);
}
