#include "cleanup/pickup/pickup.hpp"

#include <ctime>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "cleanup/pickup/submission_file.hpp"
#include "clients/cleanup.hpp"
#include "log/log.hpp"
#include "mail/received.hpp"
#include "net/event.hpp"
#include "queue/directory.hpp"
#include "queue/error.hpp"
#include "queue/hashing_settings.hpp"

namespace stagepost::pickup {
namespace {

using clients::CleanupResult;
constexpr std::size_t kParallel = 20;
/// Incomplete files of crashed submissions are removed after a day.
constexpr std::time_t kStaleSeconds = 24 * 3600;

class Pickup {
 public:
  explicit Pickup(daemon::Context& context)
      : config_(context.config()),
        directory_(".", queue::hashing(*config_)),
        cleanup_(context.loop(), *config_),
        tasks_(context.loop(), "pickup", kParallel) {}

  net::Task<> scan() {
    queue::QueueScan scan(directory_, queue::QueueName::maildrop);
    for (;;) {
      auto entry = scan.next();
      if (!entry) {
        log::warning("maildrop: {}", entry.error().message());
        break;
      }
      if (!*entry) { break; }
      if (!busy_.insert((*entry)->path).second) { continue; }
      co_await tasks_.room();
      tasks_.spawn(handle(std::move((*entry)->path)));
    }
    co_await tasks_.join();
  }

 private:
  net::Task<> handle(std::string path) {
    co_await submit(path);
    busy_.erase(path);
  }

  net::Task<> submit(const std::string& path) {
    // Local users own these files: never follow a link, never wait on a FIFO.
    const auto file = sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file) {
      if (!file.error().is(std::errc::no_such_file_or_directory)) { log::warning("{}", file.error().message()); }
      co_return;
    }
    const auto st = sys::fstat(file->get());
    if (!st) { co_return; }
    if (!S_ISREG(st->st_mode) || st->st_nlink != 1) {
      log::warning("{}: uid {}: not a regular file with one link", path, st->st_uid);
      co_return;
    }
    if ((st->st_mode & S_IXUSR) == 0) {
      if (std::time(nullptr) - st->st_mtime > kStaleSeconds) { remove(path); }
      co_return;
    }
    const Result<> done = co_await transfer(path, file->get(), *st);
    if (done) {
      remove(path);
    } else if (queue::is_damage(done.error())) {
      log::warning("{}: uid {}: {}; moved to the corrupt queue", path, st->st_uid, done.error().message());
      const std::size_t slash = path.rfind('/');
      const auto moved = sys::rename(path, "./corrupt/" + path.substr(slash + 1));
      if (!moved) { log::warning("{}", moved.error().message()); }
    } else {
      log::warning("{}: {}", path, done.error().message());  // stays for the next scan
    }
  }

  /// postsuper -r moves whole queue files, which begin with a size record, and they belong to the mail system's user.
  static Origin origin_of(int fd, const struct stat& st) {
    char first = 0;
    const auto read = sys::pread(fd, {&first, 1}, 0);
    const bool queue_file = read && *read == 1 && first == static_cast<char>(queue::RecordType::size);
    return queue_file && st.st_uid == ::geteuid() ? Origin::requeued : Origin::user;
  }

  static void remove(const std::string& path) {
    const auto removed = sys::unlink(path);
    if (!removed) { log::warning("{}", removed.error().message()); }
  }

  /// Success: the message is cleanup's now (or was refused for good), and the file can go.
  net::Task<Result<>> transfer(const std::string& path, int fd, const struct stat& st) {
    const Origin origin = origin_of(fd, st);
    SubmissionFile file(fd, path, origin);
    SP_CO_TRY(Submission submission, file.read_envelope());
    const std::string from = submission.sender;
    clients::CleanupOpen open{
        .flags = clients::kCleanupBounce | clients::kCleanupFilter | clients::kCleanupMap | clients::kCleanupBcc |
                 clients::kCleanupMilter | clients::kCleanupAutoUtf8,
        .arrival = std::chrono::system_clock::time_point(std::chrono::seconds(submission.arrival.seconds) +
                                                         std::chrono::microseconds(submission.arrival.microseconds)),
        .sender = submission.sender,
        .full_name = submission.full_name,
        .filter = config_->text("content_filter"),
        .verp_delimiters = submission.verp_delimiters,
        .attributes = std::move(submission.attributes)};
    auto opened = co_await cleanup_.open(std::move(open));
    if (!opened) { co_return failure(opened.error().text, std::errc::io_error); }
    std::string line = fmt::format("{}: uid={} from=<{}>", opened->queue_id(), st.st_uid, from);
    if (origin == Origin::requeued) {
      line +=
          " orig_id=" + (submission.original_id.empty() ? path.substr(path.rfind('/') + 1) : submission.original_id);
    }
    log::write(log::Level::info, line);
    const mail::ReceivedBy by{.myhostname = config_->text("myhostname"),
                              .mail_name = config_->text("mail_name"),
                              .queue_id = opened->queue_id(),
                              .when = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
    std::string content = mail::received_from_user(st.st_uid, by) + "\n";
    const auto recipients_sent = co_await opened->add_recipients(std::move(submission.recipients));
    if (!recipients_sent) { co_return recipients_sent; }
    while (!content.empty()) {
      const auto content_sent = co_await opened->add_content(std::move(content));
      if (!content_sent) { co_return content_sent; }
      SP_CO_TRY(content, file.read_content());
    }
    SP_CO_TRY(auto extracted, file.read_extracted());
    const auto extracted_sent = co_await opened->add_recipients(std::move(extracted));
    if (!extracted_sent) { co_return extracted_sent; }
    const auto result = co_await opened->finish();
    if (!result) { co_return std::unexpected(result.error()); }
    switch (result->status) {
      case CleanupResult::Status::ok:
      case CleanupResult::Status::discarded:
        co_return Result<>{};
      case CleanupResult::Status::no_recipients:
        log::warning("{}: no recipients, message dropped", path);
        co_return Result<>{};
      default:
        co_return failure(result->text, std::errc::io_error);
    }
  }

  config::SnapshotPtr config_;
  queue::QueueDirectory directory_;
  clients::CleanupClient cleanup_;
  std::set<std::string> busy_;
  net::TaskGroup tasks_;
};

}  // namespace

net::Task<Result<>> serve(daemon::Context& context) {
  Pickup pickup(context);
  auto served = co_await context.serve_triggers([&pickup](std::string) { return pickup.scan(); });
  co_return served;
}

}  // namespace stagepost::pickup
