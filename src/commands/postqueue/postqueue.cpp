#include "commands/postqueue/postqueue.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <fmt/format.h>

#include "clients/endpoint.hpp"
#include "clients/flush.hpp"
#include "clients/qmgr.hpp"
#include "clients/queue_listing.hpp"
#include "commands/postqueue/listing_text.hpp"
#include "commands/postqueue/options.hpp"
#include "config/log_settings.hpp"
#include "config/setgid_command.hpp"
#include "config/snapshot.hpp"
#include "delivery/queue_lister.hpp"
#include "log/log.hpp"
#include "maps/context.hpp"
#include "maps/match_list.hpp"
#include "maps/user_list.hpp"
#include "net/event_loop.hpp"
#include "net/socket_stream.hpp"
#include "queue/hashing_settings.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::postqueue {
namespace {

constexpr std::size_t kReadOctets = 64 * 1024;
constexpr std::chrono::seconds kConnectTime{10};

/// Ends the program from any depth of run().
struct Fatal {
  std::string text;
};

/// Standard output. A reader that has gone ("mailq | head") ends the program without a word.
void print(std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    if (errno == EPIPE) { ::_exit(0); }
    throw Fatal{fmt::format("write error: {}", std::strerror(errno))};
  }
  text.clear();
}

void finish_output() {
  if (std::fflush(stdout) != 0 && errno != EPIPE) { throw Fatal{fmt::format("write error: {}", std::strerror(errno))}; }
}

void warn(std::string_view text) {
  fmt::print(stderr, "postqueue: warning: {}\n", text);
  log::warning("{}", text);
}

/// authorized_mailq_users, authorized_flush_users. The super-user and mail_owner need no permission.
void check_user(const config::SnapshotPtr& config, const char* parameter, const char* what) {
  const passwd* entry = ::getpwuid(::getuid());
  const std::string user = entry != nullptr ? entry->pw_name : "unknown";
  if (::getuid() == 0 || user == config->text("mail_owner")) { return; }
  const auto allowed = maps::user_is_listed(config, parameter, user);
  if (!allowed) {
    warn(allowed.error().message());
    throw Fatal{fmt::format("cannot look up {}", parameter)};
  }
  if (!*allowed) {
    throw Fatal{fmt::format("User {}({}) is not allowed to {} the mail queue", user, ::getuid(), what)};
  }
}

class Command {
 public:
  explicit Command(config::SnapshotPtr config) : shared_config_(std::move(config)), config_(*shared_config_) {}

  void list() {
    check_user(shared_config_, "authorized_mailq_users", "view");
    TextListing listing(config_.boolean("enable_long_queue_ids") ? IdColumn::long_form : IdColumn::short_form);
    walk(listing, listing.buffer());
    listing.finish();
    print(listing.buffer());
    finish_output();
  }

  void list_json() {
    check_user(shared_config_, "authorized_mailq_users", "view");
    JsonListing listing;
    walk(listing, listing.buffer());
    print(listing.buffer());
    finish_output();
  }

  void flush_all() {
    check_user(shared_config_, "authorized_flush_users", "flush");
    clients::QmgrClient qmgr(loop_, config_);
    // Forget dead destinations; scan the deferred queue, whatever the times of its messages, and incoming.
    const std::string letters{clients::qmgr_trigger::kFlushDeferred, clients::qmgr_trigger::kScanAll,
                              clients::qmgr_trigger::kScanDeferred, clients::qmgr_trigger::kScanIncoming};
    const auto sent = wait(qmgr.trigger(letters));
    if (!sent) { throw Fatal{"Cannot flush mail queue - mail system is down"}; }
  }

  void flush_site(const std::string& site) {
    check_user(shared_config_, "authorized_flush_users", "flush");
    if (!is_site(site)) { throw Fatal{"Cannot flush mail queue - invalid destination: \"" + site + "\""}; }
    if (!listed_site(site)) { throw Fatal{"Flush service is not configured for destination \"" + site + "\""}; }
    clients::FlushRequest request;
    request.what = clients::FlushRequest::What::send_site;
    request.site = site;
    ask_flush(std::move(request), site);
  }

  void flush_message(const std::string& id) {
    check_user(shared_config_, "authorized_flush_users", "flush");
    if (!queue::QueueId::parse(id)) { throw Fatal{"Cannot flush queue ID - invalid name: \"" + id + "\""}; }
    clients::FlushRequest request;
    request.what = clients::FlushRequest::What::send_file;
    request.queue_id = id;
    ask_flush(std::move(request), id);
  }

 private:
  template <class T>
  Result<T> wait(net::Task<Result<T>> task) {
    Result<T> result = failure("not run");
    loop_.run_task(keep(std::move(task), result));
    return result;
  }
  template <class T>
  static net::Task<> keep(net::Task<Result<T>> task, Result<T>& result) {
    result = co_await std::move(task);
  }

  bool listed_site(const std::string& site) {
    maps::OpenContext context = maps::make_context(shared_config_, &loop_);
    context.warn = warn;
    const auto list = maps::MatchList::create(
        "fast_flush_domains", config_.text("fast_flush_domains"),
        {.style = maps::MatchStyle::domains,
         .parents = maps::parent_style(config_.text("parent_domain_matches_subdomains"), "fast_flush_domains")},
        context);
    if (!list) { throw Fatal{list.error().message()}; }
    maps::MatchList::Subject subject;
    subject.name = site;
    const auto listed = wait(list->matches(std::move(subject)));
    if (!listed) { throw Fatal{"cannot look up fast_flush_domains: " + listed.error().message()}; }
    return *listed;
  }

  void ask_flush(clients::FlushRequest request, const std::string& what) {
    // The client waits for a service that is starting; here nobody is going to start it.
    const std::string path = clients::public_endpoint(config_, "flush_service_name");
    const auto there = wait(net::connect_unix(loop_, path, within(kConnectTime)));
    if (!there) {
      warn("connect to " + path + ": " + there.error().code.message());
      throw Fatal{"Cannot flush mail queue - mail system is down"};
    }
    clients::FlushClient flush(loop_, config_);
    const auto status = wait(flush.ask(std::move(request)));
    using Status = clients::FlushReply::Status;
    if (!status) { throw Fatal{"Cannot flush mail queue - " + status.error().message()}; }
    switch (*status) {
      case Status::ok:
        return;
      case Status::unknown:
        throw Fatal{"Flush service is not configured for destination \"" + what + "\""};
      case Status::bad:
        throw Fatal{"Invalid request: \"" + what + "\""};
      case Status::failed:
        break;
    }
    throw Fatal{"Cannot flush \"" + what + "\" - see the mail log"};
  }

  /// The whole listing into `sink`; `buffer` is printed whenever it has grown.
  void walk(clients::ListingSink& sink, std::string& buffer) {
    const std::string path = clients::public_endpoint(config_, "showq_service_name");
    auto stream = wait(net::connect_unix(loop_, path, within(kConnectTime)));
    if (stream) {
      const auto read = wait(receive(**stream, sink, buffer));
      if (!read) {
        if (!read.error().is(std::errc::bad_message)) { warn(read.error().message()); }
        throw Fatal{"malformed showq server response"};
      }
      return;
    }
    walk_directly(sink, buffer, stream.error());
  }

  net::Task<Result<>> receive(net::Stream& stream, clients::ListingSink& sink, std::string& buffer) {
    clients::ShowqParser parser(sink);
    const auto timeout = config_.seconds("ipc_timeout");
    std::string bytes;
    while (!parser.finished()) {
      bytes.clear();
      const auto got = co_await stream.append_some(bytes, kReadOctets, within(timeout));
      if (!got) { co_return std::unexpected(got.error()); }
      if (*got == 0) { co_return failure("premature end of the listing", std::errc::bad_message); }
      const auto parsed = parser.feed(bytes);
      print(buffer);
      if (!parsed) { co_return parsed; }
    }
    co_return Result<>{};
  }

  void walk_directly(clients::ListingSink& sink, std::string& buffer, const Error& why) {
    const queue::QueueDirectory directory(".", queue::hashing(config_));
    // Set-group-ID gives access to sockets, not to the queue: only its owner and the super-user can go on.
    if (::access(directory.path(queue::QueueName::incoming).c_str(), R_OK | X_OK) != 0) {
      throw Fatal{"Queue report unavailable - mail system is down"};
    }
    warn(fmt::format("Mail system is down -- accessing queue directly (Connect to the {} showq service: {})",
                     config_.text("mail_name"), why.code.message()));
    delivery::QueueLister lister(directory);
    clients::ShowqWriter writer;
    clients::ShowqParser parser(sink);
    for (;;) {
      const auto more = lister.step(writer);
      if (!more) { throw Fatal{more.error().message()}; }
      if (!*more) { return; }
      if (const auto parsed = parser.feed(writer.buffer()); !parsed) { throw Fatal{parsed.error().message()}; }
      writer.buffer().clear();
      if (buffer.size() >= kReadOctets) { print(buffer); }
    }
  }

  config::SnapshotPtr shared_config_;
  const config::Snapshot& config_;
  net::EventLoop loop_{1};
};

void execute(int argc, char** argv, bool& log_open) {
  // getopt's complaints begin with the program's name.
  std::string name = "postqueue";
  if (argc > 0) { argv[0] = name.data(); }
  const auto options = parse_options(argc, argv);
  if (!options) { throw Fatal{kUsage}; }
  const auto directory = config::trusted_config_directory(options->config_directory);
  if (!directory) { throw Fatal{directory.error().context}; }
  config::clean_environment();
  const auto config = config::Snapshot::load({.config_directory = *directory, .process_name = "postqueue"});
  if (!config) { throw Fatal{config.error().message()}; }
  log::open(config::log_settings(**config, "postqueue", options->verbose && !config::is_setgid()));
  log_open = true;
  const std::string& queue_directory = (*config)->text("queue_directory");
  if (::chdir(queue_directory.c_str()) != 0) { throw Fatal{"chdir " + queue_directory + ": " + std::strerror(errno)}; }
  Command command(*config);
  switch (options->action) {
    case Action::list:
      return command.list();
    case Action::list_json:
      return command.list_json();
    case Action::flush_all:
      return command.flush_all();
    case Action::flush_site:
      return command.flush_site(options->site_or_id);
    case Action::flush_message:
      return command.flush_message(options->site_or_id);
    case Action::none:
      break;
  }
  throw Fatal{kUsage};
}

}  // namespace

int run(int argc, char** argv) {
  // The three standard descriptors exist, so that no socket becomes one of them.
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) { return EX_OSERR; }
  }
  ::umask(022);
  ::signal(SIGPIPE, SIG_IGN);
  bool log_open = false;
  try {
    execute(argc, argv, log_open);
    return EX_OK;
  } catch (const Fatal& fatal) {
    static_cast<void>(std::fflush(stdout));
    fmt::print(stderr, "postqueue: fatal: {}\n", fatal.text);
    if (log_open) { log::fatal("{}", fatal.text); }
    return EX_UNAVAILABLE;
  }
}

}  // namespace stagepost::postqueue
