// See the header.
#include "commands/qshape/qshape.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "commands/qshape/distribution.hpp"
#include "config/snapshot.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::qshape {
namespace {

constexpr const char* kUsage =
    "usage: qshape [-hlps] [-b bucket_count] [-c config_directory] [-m min_subdomains] [-n batch_top_domains] "
    "[-N batch_msg_count] [-t bucket_time] [-w terminal_width] [queue_name ...]";
constexpr std::size_t kRecipientsPerRead = 1000;
constexpr std::size_t kMaxBuckets = 60;
constexpr std::size_t kMaxDepth = 20;

struct Fatal {
  std::string text;
};

struct Arguments {
  bool help = false;
  bool senders = false;
  bool linear = false;
  std::size_t buckets = 10;
  std::int64_t minutes = 5;
  Distribution::Layout layout;
  std::size_t batch = 1000;  ///< -N
  std::size_t top = 20;      ///< -n
  std::string config_directory;
  std::vector<std::string> queues;
};

/// The value of a number option. Zero stands for the default, as with Postfix.
std::size_t number(char letter, const char* value, std::size_t standard, std::size_t limit) {
  const auto parsed = text::parse_unsigned(value);
  if (!parsed || *parsed > limit) {
    throw Fatal{fmt::format("bad value for -{}: \"{}\"; want a number up to {}", letter, value, limit)};
  }
  return *parsed == 0 ? standard : static_cast<std::size_t>(*parsed);
}

Arguments parse_arguments(int argc, char** argv) {
  Arguments arguments;
  if (const char* directory = std::getenv("MAIL_CONFIG")) { arguments.config_directory = directory; }
  for (int option = 0; (option = ::getopt(argc, argv, "b:c:hlm:n:N:pst:w:")) != -1;) {
    const auto letter = static_cast<char>(option);
    switch (option) {
      case 'b':
        arguments.buckets = number(letter, ::optarg, arguments.buckets, kMaxBuckets);
        break;
      case 'c':
        arguments.config_directory = ::optarg;
        break;
      case 'h':
        arguments.help = true;
        break;
      case 'l':
        arguments.linear = true;
        break;
      case 'm':
        arguments.layout.min_subdomains = number(letter, ::optarg, arguments.layout.min_subdomains, 1'000'000);
        break;
      case 'n':
        arguments.top = number(letter, ::optarg, arguments.top, 1'000'000);
        break;
      case 'N':
        arguments.batch = number(letter, ::optarg, arguments.batch, 1'000'000'000);
        break;
      case 'p':
        arguments.layout.parents = true;
        break;
      case 's':
        arguments.senders = true;
        break;
      case 't':
        arguments.minutes = static_cast<std::int64_t>(
            number(letter, ::optarg, static_cast<std::size_t>(arguments.minutes), 10'000'000));
        break;
      case 'w':
        arguments.layout.width = number(letter, ::optarg, arguments.layout.width, 10'000);
        break;
      default:
        throw Fatal{kUsage};
    }
  }
  arguments.queues.assign(argv + ::optind, argv + argc);
  if (arguments.queues.empty()) { arguments.queues = {"incoming", "active"}; }
  return arguments;
}

class Command {
 public:
  explicit Command(const Arguments& arguments)
      : arguments_(arguments),
        layout_(arguments.layout),
        terminal_(::isatty(STDOUT_FILENO) == 1),
        now_(std::time(nullptr)),
        distribution_(AgeBuckets(arguments.buckets, arguments.minutes,
                                 arguments.linear ? AgeBuckets::Growth::linear : AgeBuckets::Growth::geometric)) {
    if (terminal_) { layout_.rows = arguments.top; }
  }

  void run(const std::string& queue_directory) {
    for (const std::string& queue : arguments_.queues) {
      const std::string path = queue.starts_with('/') ? queue : queue_directory + "/" + queue;
      if (const auto status = sys::stat(path); !status) {
        warn(status.error().message());
      } else {
        walk(path);
      }
    }
    print();
  }

 private:
  static void warn(std::string_view text) { fmt::print(stderr, "qshape: warning: {}\n", text); }

  void print() const {
    if (terminal_) { fmt::print("\x1b[H\x1b[2J\x1b[3J"); }
    fmt::print("{}", distribution_.table(layout_));
    if (std::fflush(stdout) != 0) { throw Fatal{"write error"}; }
  }

  /// Any directories below are searched, so that a queue may be hashed to any depth; a symbolic link is not followed.
  void walk(const std::string& top) {
    struct Place {
      std::string path;
      std::size_t depth;
    };
    std::vector<Place> open{{top, 0}};
    while (!open.empty()) {
      const Place place = std::move(open.back());
      open.pop_back();
      const auto names = sys::list_directory(place.path);
      if (!names) {
        // A hash directory may go while we look.
        if (!names.error().is(std::errc::no_such_file_or_directory)) { warn(names.error().message()); }
        continue;
      }
      for (const std::string& name : *names) {
        std::string path = place.path + "/" + name;
        const auto status = sys::lstat(path);
        if (!status) { continue; }
        if (S_ISDIR(status->st_mode)) {
          if (place.depth < kMaxDepth) { open.push_back({std::move(path), place.depth + 1}); }
        } else if (S_ISREG(status->st_mode) && (status->st_mode & S_IXUSR) != 0) {
          message(path);
        }
      }
    }
  }

  void message(const std::string& path) {
    auto reader = queue::MessageReader::open(path, queue::MessageReader::Access::read);
    if (!reader) {
      if (reader.error().is(std::errc::permission_denied)) { throw Fatal{reader.error().message()}; }
      return;  // moved or delivered meanwhile
    }
    const auto envelope = reader->read_envelope();
    if (!envelope || !envelope->has_sender) { return; }
    const std::int64_t age = now_ - envelope->arrival.seconds;
    if (arguments_.senders) {
      distribution_.add(envelope->sender, age);
    } else {
      for (std::optional<std::int64_t> next = 0; next;) {
        const auto window = reader->read_recipients(*next, kRecipientsPerRead);
        if (!window) { break; }
        for (const auto& recipient : window->recipients) { distribution_.add(recipient.address, age); }
        next = window->next_offset;
      }
    }
    if (terminal_ && ++seen_ % arguments_.batch == 0) { print(); }
  }

  const Arguments& arguments_;
  Distribution::Layout layout_;
  bool terminal_;
  std::int64_t now_;
  Distribution distribution_;
  std::size_t seen_ = 0;
};

}  // namespace

int run(int argc, char** argv) {
  try {
    const Arguments arguments = parse_arguments(argc, argv);
    if (arguments.help) {
      fmt::print("{}\n", kUsage);
      return 0;
    }
    const auto config = config::Snapshot::load(
        {.config_directory = arguments.config_directory, .check = config::LoadOptions::Check::no});
    if (!config) { throw Fatal{config.error().message()}; }
    Command(arguments).run((*config)->text("queue_directory"));
    return 0;
  } catch (const Fatal& fatal) {
    static_cast<void>(std::fflush(stdout));
    fmt::print(stderr, "qshape: fatal: {}\n", fatal.text);
    return 1;
  }
}

}  // namespace stagepost::qshape
