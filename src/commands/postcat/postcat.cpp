#include "commands/postcat/postcat.hpp"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "commands/postcat/dump.hpp"
#include "config/snapshot.hpp"
#include "queue/directory.hpp"
#include "queue/hashing_settings.hpp"

namespace stagepost::postcat {
namespace {

constexpr const char* kUsage =
    "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] "
    "[-h (header text)] [-q (access queue)] [-v] [file(s)...]";

// Ends the program from any depth of run(), which catches it; what was printed before stays printed.
struct Fatal {
  std::string text;
};

void warn(std::string_view text) { fmt::print(stderr, "postcat: warning: {}\n", text); }

struct Arguments {
  DumpOptions dump;
  std::string config_directory;
  bool search_queue = false;
  std::vector<std::string> names;
};

Arguments parse_arguments(int argc, char** argv) {
  Arguments arguments;
  bool envelope = false;
  bool header = false;
  bool body = false;
  for (int option = 0; (option = ::getopt(argc, argv, "bc:dehoqrs:v")) > 0;) {
    switch (option) {
      case 'b':
        body = true;
        break;
      case 'c':
        arguments.config_directory = ::optarg;
        break;
      case 'd':
        arguments.dump.decimal_type = true;
        break;
      case 'e':
        envelope = true;
        break;
      case 'h':
        header = true;
        break;
      case 'o':
        arguments.dump.offsets = true;
        break;
      case 'q':
        arguments.search_queue = true;
        break;
      case 'r':
        arguments.dump.raw = true;
        break;
      case 's': {
        const auto offset = text::parse_unsigned(::optarg);
        if (!offset || *offset > INT64_MAX) { throw Fatal{fmt::format("bad offset: {}", ::optarg)}; }
        arguments.dump.start = static_cast<std::int64_t>(*offset);
        break;
      }
      case 'v':
        arguments.dump.verbose = true;
        break;
      default:
        throw Fatal{kUsage};
    }
  }
  if (envelope || header || body) {
    arguments.dump.envelope = envelope;
    arguments.dump.header = header;
    arguments.dump.body = body;
  }
  arguments.names.assign(argv + ::optind, argv + argc);
  return arguments;
}

void print_file(int fd, const std::string& name, const DumpOptions& options) {
  queue::RecordFile file(fd, name);
  const Sinks sinks{.out = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); },
                    .warning = [](std::string_view text) { warn(text); }};
  const auto done = dump(file, options, sinks);
  if (done) { return; }
  if (!queue::is_damage(done.error())) {
    warn(done.error().message());
    return;
  }
  if (!done.error().context.empty()) { warn(done.error().context); }
  throw Fatal{"record read error"};
}

// Standard input may be a pipe, and pointers go back and forth: it is copied to a file without name.
void print_standard_input(const DumpOptions& options) {
  struct stat status{};
  if (::fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode)) {
    print_file(STDIN_FILENO, "stdin", options);
    return;
  }
  std::FILE* copy = std::tmpfile();
  if (copy == nullptr) { throw Fatal{"cannot create a temporary file"}; }
  std::string buffer(65536, '\0');
  for (;;) {
    const auto got = sys::read(STDIN_FILENO, buffer);
    if (!got || *got == 0) { break; }
    const auto written = sys::write_all(::fileno(copy), std::string_view(buffer).substr(0, *got));
    if (!written) { throw Fatal{written.error().message()}; }
  }
  print_file(::fileno(copy), "stdin", options);
  std::fclose(copy);
}

unique_fd open_in_queue(const queue::QueueDirectory& directory, const std::string& name, std::string& path) {
  using enum queue::QueueName;
  const auto id = queue::QueueId::parse(name);
  if (!id) { throw Fatal{fmt::format("bad mail queue ID: {}", name)}; }
  // Twice, because a message may move to a queue that was looked at already.
  for (int pass = 0; pass < 2; ++pass) {
    for (const auto queue : {maildrop, incoming, active, deferred, hold, saved}) {
      path = fmt::format("{}/{}{}", to_string(queue), directory.hash_path(queue, *id), id->str());
      auto fd = sys::open(path, O_RDONLY);
      if (fd) { return *std::move(fd); }
      if (!fd.error().is(std::errc::no_such_file_or_directory)) {
        throw Fatal{fmt::format("open {}: {}", path, fd.error().code.message())};
      }
    }
  }
  throw Fatal{fmt::format("open queue file {}: No such file or directory", name)};
}

void run_or_throw(int argc, char** argv) {
  const Arguments arguments = parse_arguments(argc, argv);
  std::string config_directory = arguments.config_directory;
  if (const char* environment = std::getenv("MAIL_CONFIG"); config_directory.empty() && environment != nullptr) {
    config_directory = environment;
  }
  const auto config =
      config::Snapshot::load({.config_directory = config_directory, .check = config::LoadOptions::Check::no});
  if (!config) { throw Fatal{config.error().message()}; }
  if (arguments.names.empty()) {
    print_standard_input(arguments.dump);
    return;
  }
  if (!arguments.search_queue) {
    for (const auto& name : arguments.names) {
      const auto fd = sys::open(name, O_RDONLY);
      if (!fd) { throw Fatal{fmt::format("open {}: {}", name, fd.error().code.message())}; }
      print_file(fd->get(), name, arguments.dump);
    }
    return;
  }
  const std::string& root = (*config)->text("queue_directory");
  if (::chdir(root.c_str()) != 0) {
    throw Fatal{fmt::format("chdir {}: {}", root, std::error_code(errno, std::system_category()).message())};
  }
  const queue::QueueDirectory directory(".", queue::hashing(**config));
  for (const auto& name : arguments.names) {
    std::string path;
    const unique_fd fd = open_in_queue(directory, name, path);
    print_file(fd.get(), path, arguments.dump);
  }
}

}  // namespace

int run(int argc, char** argv) {
  try {
    run_or_throw(argc, argv);
  } catch (const Fatal& fatal) {
    std::fflush(stdout);
    fmt::print(stderr, "postcat: fatal: {}\n", fatal.text);
    return 1;
  }
  if (std::fflush(stdout) != 0) {
    fmt::print(stderr, "postcat: fatal: write error\n");
    return 1;
  }
  return 0;
}

}  // namespace stagepost::postcat
