#include "base/work_pace.hpp"
#include "daemon/daemon.hpp"
#include "smtpd/smtpd/service.hpp"
#include "smtpd/smtpd/standalone.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  if (smtpd::is_standalone(argc, argv)) { return smtpd::run_standalone(argc, argv); }
  work_pace::expect_events_per_message(25);  // a dialogue of many small steps
  daemon::Options options;
  options.name = "smtpd";
  options.set_up_first = true;
  options.needs.network = true;   // DNS
  options.needs.any_path = true;  // tables named in main.cf
  options.prepare = smtpd::prepare;
  return daemon::run(argc, argv, options, smtpd::serve);
}
