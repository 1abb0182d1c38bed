// The queue manager: see service.hpp.
#include "daemon/daemon.hpp"
#include "qmgr/service.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  const daemon::Options options{.name = "qmgr",
                                .kind = daemon::Kind::single,
                                .user = daemon::User::mail_owner,
                                .lifetime = daemon::Lifetime::resident,
                                .needs = {.writes = {"incoming", "active", "deferred", "corrupt", "defer", "hold",
                                                     "journal", "maildrop", "saved"}},
                                .prepare = qmgr::prepare};
  return daemon::run(argc, argv, options, qmgr::serve);
}
