// postlogd(8): writes what the other programs log to maillog_file. The lines come finished, with their times.
#include <any>
#include <memory>

#include "base/sys.hpp"
#include "base/work_pace.hpp"
#include "daemon/daemon.hpp"
#include "services/postlogd/log_file.hpp"
#include "services/postlogd/log_writer.hpp"

namespace {

using namespace stagepost;

/// As root: the log's directory is usually not mail_owner's. The descriptor is shared because std::any copies.
Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& /*tables*/) {
  SP_TRY(auto file, postlogd::open_log_file(config.text("maillog_file"), config.list("maillog_file_prefixes")));
  return std::make_any<std::shared_ptr<unique_fd>>(std::make_shared<unique_fd>(std::move(file)));
}

net::Task<Result<>> serve(daemon::Context& context) {
  const auto file = std::any_cast<std::shared_ptr<unique_fd>>(context.prepared());
  work_pace::stay_behind();
  postlogd::LogWriter writer(context.loop(), file->get());
  auto served = co_await context.serve_datagrams(
      [&writer](std::span<const std::string_view> datagrams) { writer.add(datagrams); });
  co_await writer.finish();
  co_return served;
}

}  // namespace

int main(int argc, char** argv) {
  daemon::Options options;
  options.name = "postlogd";
  options.kind = daemon::Kind::single;
  options.lifetime = daemon::Lifetime::resident;
  options.prepare = prepare;
  return daemon::run(argc, argv, options, serve);
}
