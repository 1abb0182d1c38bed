#include "smtpd/smtpd/standalone.hpp"

#include <cstdlib>
#include <pwd.h>
#include <signal.h>
#include <string_view>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/text.hpp"
#include "config/log_settings.hpp"
#include "log/log.hpp"
#include "maps/context.hpp"
#include "net/stdio_stream.hpp"
#include "smtpd/smtpd/postdrop_services.hpp"
#include "smtpd/smtpd/process_services.hpp"
#include "smtpd/smtpd/session.hpp"

namespace stagepost::smtpd {
namespace {

int fatal(int status, std::string_view text) {
  fmt::print(stderr, "smtpd: fatal: {}\n", text);
  log::fatal("{}", text);
  return status;
}

Client local_client() {
  Client client;
  client.name = client.reverse_name = "localhost";
  client.name_status = client.reverse_status = dns::Status::found;
  client.address = "127.0.0.1";
  client.port = "0";
  return client;
}

bool is_mail_owner(const config::Snapshot& config) {
  const passwd* const owner = ::getpwnam(config.text("mail_owner").c_str());
  return owner != nullptr && owner->pw_uid == ::getuid();
}

net::Task<> serve(Services& services, std::shared_ptr<const Policy> policy, std::unique_ptr<net::Stream> stream) {
  Session session(services, std::move(policy), std::move(stream), local_client());
  co_await session.run();
}

Result<> run_with_cleanup(net::EventLoop& loop, const config::SnapshotPtr& config) {
  // Sockets of the other daemons are found from here.
  const std::string& queue = config->text("queue_directory");
  if (::chdir(queue.c_str()) != 0) { return errno_failure("chdir " + queue); }
  SP_TRY(auto policy, Policy::create(*config, maps::make_context(config, &loop), SessionKind::local_restricted));
  SP_TRY(auto resolver_settings, dns::ResolverSettings::from(*config));
  SP_TRY(auto resolver, dns::Resolver::create(loop, std::move(resolver_settings)));
  ProcessServices services(
      loop, *config, std::move(resolver), nullptr, [] { return std::shared_ptr<void>(); }, "smtpd");
  loop.run_task(serve(services, std::move(policy), net::make_stdio_stream(STDIN_FILENO, STDOUT_FILENO)));
  loop.run_task(services.stop());
  return {};
}

Result<> run_with_postdrop(net::EventLoop& loop, const config::SnapshotPtr& config) {
  SP_TRY(auto policy, Policy::create(*config, maps::make_context(config, &loop), SessionKind::local_unrestricted));
  PostdropServices services(config);
  loop.run_task(serve(services, std::move(policy), net::make_stdio_stream(STDIN_FILENO, STDOUT_FILENO)));
  return {};
}

}  // namespace

bool is_standalone(int argc, char** argv) { return argc > 1 && std::string_view(argv[1]) == "-S"; }

int run_standalone(int argc, char** argv) {
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  config::LoadOptions load{.process_name = "smtpd"};
  bool verbose = false;
  for (int option = 0; (option = ::getopt(argc, argv, "So:v")) != -1;) {
    if (option == '?') { return fatal(EX_USAGE, "usage: smtpd -S [-v] [-o name=value]"); }
    verbose |= option == 'v';
    if (option != 'o') { continue; }
    const std::string_view text = ::optarg;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) { return fatal(EX_USAGE, "-o: want name=value"); }
    load.overrides.emplace_back(text::trim(text.substr(0, equals)), text::trim(text.substr(equals + 1)));
  }
  if (const char* directory = std::getenv("MAIL_CONFIG")) { load.config_directory = directory; }
  const auto config = config::Snapshot::load(load);
  if (!config) { return fatal(EX_CONFIG, config.error().message()); }
  log::open(config::log_settings(**config, "smtpd", verbose));
  try {
    net::EventLoop loop;
    const auto done = is_mail_owner(**config) ? run_with_cleanup(loop, *config) : run_with_postdrop(loop, *config);
    return done ? EX_OK : fatal(EX_TEMPFAIL, done.error().message());
  } catch (const std::exception& thrown) {
    return fatal(EX_SOFTWARE, fmt::format("unexpected failure: {}", thrown.what()));
  }
}

}  // namespace stagepost::smtpd
