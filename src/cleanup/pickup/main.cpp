#include "cleanup/pickup/pickup.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  daemon::Options options;
  options.name = "pickup";
  options.kind = daemon::Kind::single;
  options.needs.writes = {"maildrop", "corrupt"};
  return daemon::run(argc, argv, options, pickup::serve);
}
