// See table_command.hpp.
#include "maps/table_command.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "config/registry.hpp"
#include "config/snapshot.hpp"
#include "log/log.hpp"
#include "maps/contained_run.hpp"
#include "maps/context.hpp"
#include "maps/message_keys.hpp"
#include "maps/table_builder.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {
namespace {

struct Arguments {
  std::string config_directory;
  std::optional<std::string> query;
  std::optional<std::string> erase;
  bool list = false;
  bool incremental = false;
  bool json = false;
  bool utf8 = true;
  bool force_utf8 = false;
  MessageKeyOptions message;
  bool verbose = false;
  CaseFold fold = CaseFold::yes;
  BuildOptions build;
  std::vector<std::string> tables;
};

/// A failure ends the program with this text.
std::optional<std::string> parse_arguments(int argc, char** argv, const CommandVariant& variant, Arguments& arguments) {
  using Duplicates = BuildOptions::Duplicates;
  const std::string letters(variant.options);
  for (int letter = 0; (letter = ::getopt(argc, argv, letters.c_str())) != -1;) {
    switch (letter) {
      case 'b':
        arguments.message.body = true;
        break;
      case 'c':
        arguments.config_directory = ::optarg;
        break;
      case 'd':
        if (arguments.list || arguments.query || arguments.erase) { return "specify only one of -s -q or -d"; }
        arguments.erase = ::optarg;
        break;
      case 'q':
        if (arguments.list || arguments.query || arguments.erase) { return "specify only one of -s -q or -d"; }
        arguments.query = ::optarg;
        break;
      case 's':
        if (arguments.query || arguments.erase) { return "specify only one of -s or -q or -d"; }
        arguments.list = true;
        break;
      case 'f':
        arguments.fold = CaseFold::no;
        break;
      case 'F':
        arguments.build.values_are_files = true;
        break;
      case 'h':
        arguments.message.headers = true;
        break;
      case 'i':
        arguments.incremental = true;
        break;
      case 'j':
        arguments.json = true;
        break;
      case 'm':
        arguments.message.mime = true;
        break;
      case 'n':
        arguments.build.nul = TrailingNul::without;
        break;
      case 'N':
        arguments.build.nul = TrailingNul::with;
        break;
      case 'o':
        arguments.build.keep_root = true;
        break;
      case 'p':
        arguments.build.default_mode = true;
        break;
      case 'r':
        if (arguments.build.duplicates != Duplicates::ignore) { arguments.build.duplicates = Duplicates::replace; }
        break;
      case 'w':
        arguments.build.duplicates = Duplicates::ignore;
        break;
      case 'u':
        arguments.utf8 = false;
        break;
      case 'U':
        arguments.force_utf8 = true;
        break;
      case 'v':
        arguments.verbose = true;
        break;
      default:
        return fmt::format("usage: {} {}", variant.name, variant.usage);
    }
  }
  if (arguments.json && !arguments.query && !arguments.list) { return "specify -j only with -q or -s"; }
  const MessageKeyOptions& message = arguments.message;
  if ((message.body || message.headers || message.mime) && arguments.query != "-") {
    return "specify -b -h or -m only with \"-q -\"";
  }
  arguments.tables.assign(argv + ::optind, argv + argc);
  if (arguments.tables.empty()) { return fmt::format("usage: {} {}", variant.name, variant.usage); }
  return std::nullopt;
}

/// Lines of standard input, as they come: `before_waiting` is called when there is nothing more to work on for now.
class InputLines {
 public:
  /// False at the end of the input. `line` is valid until the next call.
  Result<bool> next(std::string_view& line, const std::function<void()>& before_waiting = {}) {
    for (;;) {
      const std::size_t end = buffer_.find('\n', scanned_);
      if (end != std::string::npos || (ended_ && start_ < buffer_.size())) {
        line = std::string_view(buffer_).substr(start_, std::min(end, buffer_.size()) - start_);
        start_ = scanned_ = std::min(end, buffer_.size() - 1) + 1;
        return true;
      }
      if (ended_) { return false; }
      scanned_ = buffer_.size() - start_;
      buffer_.erase(0, std::exchange(start_, 0));
      if (buffer_.size() > kLineLimitBytes) { return failure("standard input: line is too long"); }
      if (before_waiting) { before_waiting(); }
      const std::size_t have = buffer_.size();
      buffer_.resize(have + kReadBytes);
      SP_TRY(const std::size_t got, sys::read(STDIN_FILENO, std::span(buffer_).subspan(have)));
      buffer_.resize(have + got);
      ended_ = got == 0;
    }
  }

 private:
  static constexpr std::size_t kReadBytes = 65536;
  static constexpr std::size_t kLineLimitBytes = 64U << 20U;
  std::string buffer_;
  std::size_t start_ = 0;    ///< of the line to come
  std::size_t scanned_ = 0;  ///< no newline between start_ and here
  bool ended_ = false;
};

void append_json(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

class TableCommand {
 public:
  TableCommand(const CommandVariant& variant, Arguments arguments, OpenContext context, std::string default_type)
      : variant_(variant),
        arguments_(std::move(arguments)),
        context_(std::move(context)),
        default_type_(std::move(default_type)) {}
  TableCommand(const TableCommand&) = delete;
  TableCommand& operator=(const TableCommand&) = delete;
  ~TableCommand() { flush(); }

  /// True for exit status 0.
  Result<bool> run() {
    if (arguments_.list) { return list(); }
    if (arguments_.query) { return query(); }
    return arguments_.erase ? erase() : build();
  }

 private:
  struct Name {
    std::string type;
    std::string name;
    [[nodiscard]] std::string full() const { return fmt::format("{}:{}", type, name); }
  };

  [[nodiscard]] Name split(const std::string& argument) const {
    const std::size_t colon = argument.find(':');
    return colon == std::string::npos ? Name{default_type_, argument}
                                      : Name{argument.substr(0, colon), argument.substr(colon + 1)};
  }

  Result<std::unique_ptr<Table>> open_table(const std::string& argument) const {
    return open(split(argument).full(), context_);
  }

  void flush() {
    std::fwrite(output_.data(), 1, output_.size(), stdout);
    std::fflush(stdout);
    output_.clear();
  }

  Result<std::string> shown(const Table& table, std::string_view key, std::string value) const {
    if (!arguments_.build.values_are_files) { return value; }
    auto decoded = decode_base64(value);
    if (!decoded) {
      context_.warning(
          fmt::format("table {}: key {}: malformed BASE64 value: {}", table.name(), printable(key), printable(value)));
      return std::unexpected(query_error(table, failure({}).error()));
    }
    return *std::move(decoded);
  }

  void print(std::string_view key, std::string_view value) {
    if (arguments_.json) {
      output_ += "{\"key\": ";
      append_json(output_, key);
      output_ += ", \"value\": ";
      append_json(output_, value);
      output_ += "}\n";
    } else {
      output_.append(key).append(variant_.separator).append(1, '\t').append(value).append(1, '\n');
    }
    if (output_.size() > kOutputBytes) { flush(); }
  }

  Result<bool> list() {
    for (const std::string& argument : arguments_.tables) {
      SP_TRY(const auto table, open_table(argument));
      SP_TRY(table->each([&](std::string_view key, std::string_view value) -> Result<> {
        SP_TRY(const std::string text, shown(*table, key, std::string(value)));
        print(key, text);
        return {};
      }));
    }
    return true;
  }

  Result<std::vector<std::unique_ptr<Table>>> open_all() const {
    std::vector<std::unique_ptr<Table>> tables;
    for (const std::string& argument : arguments_.tables) {
      SP_TRY(auto table, open_table(argument));
      tables.push_back(std::move(table));
    }
    return tables;
  }

  static net::Task<> wait_for(Table& table, std::string key, std::optional<Result<Found>>& found) {
    auto answer = co_await table.find(std::move(key));
    found = std::move(answer);
  }

  Result<Found> find(const std::vector<std::unique_ptr<Table>>& tables, std::string_view key) const {
    for (const auto& table : tables) {
      auto found = table->find_now(key);
      if (!found) { context_.loop->run_task(wait_for(*table, std::string(key), found)); }
      if (!*found) { return std::unexpected(query_error(*table, std::move(*found).error())); }
      Found& value = **found;
      if (!value) { continue; }
      if (value->empty()) {
        context_.warning(
            fmt::format("table {}: key {}: empty string result is not allowed", table->name(), printable(key)));
        context_.warning(fmt::format("table {} should return NO RESULT in case of NOT FOUND", table->name()));
      }
      SP_TRY(std::string text, shown(*table, key, *std::move(value)));
      return Found{std::move(text)};
    }
    return Found{};
  }

  Result<bool> query() {
    if (*arguments_.query != "-") {
      // One key: a later table is opened only when the earlier ones have no answer.
      for (const std::string& argument : arguments_.tables) {
        SP_TRY(auto table, open_table(argument));
        std::vector<std::unique_ptr<Table>> one;
        one.push_back(std::move(table));
        SP_TRY(const Found found, find(one, *arguments_.query));
        if (found && arguments_.json) { print(*arguments_.query, *found); }
        if (found && !arguments_.json) { output_.append(*found).append(1, '\n'); }
        if (found) { return true; }
      }
      return false;
    }
    SP_TRY(const auto tables, open_all());
    const MessageKeyOptions& message = arguments_.message;
    if (message.headers || message.body) { return query_message(tables); }
    if (message.mime) { context_.warning("ignoring -m option without -b or -h"); }
    bool any = false;
    InputLines lines;
    for (std::string_view key;;) {
      SP_TRY(const bool more, lines.next(key, [this] { flush(); }));
      if (!more) { break; }
      SP_TRY(const Found found, find(tables, key));
      if (found) {
        print(key, *found);
        any = true;
      }
    }
    return any;
  }

  /// Standard input is a message.
  Result<bool> query_message(const std::vector<std::unique_ptr<Table>>& tables) {
    Result<> problem;
    bool any = false;
    MessageKeys keys(arguments_.message, [&](std::string_view key) {
      if (!problem) { return; }
      const auto found = find(tables, key);
      if (!found) {
        problem = std::unexpected(found.error());
      } else if (*found) {
        print(key, **found);
        any = true;
      }
    });
    InputLines lines;
    for (std::string_view line; problem;) {
      SP_TRY(const bool more, lines.next(line, [this] { flush(); }));
      if (!more) { break; }
      keys.feed(line);
    }
    keys.finish();
    SP_TRY(std::move(problem));
    return any;
  }

  Result<bool> erase() {
    std::vector<std::string> keys;
    if (*arguments_.erase == "-") {
      InputLines lines;
      std::size_t bytes = 0;
      for (std::string_view key;;) {
        SP_TRY(const bool more, lines.next(key));
        if (!more) { break; }
        bytes += key.size() + sizeof(std::string);
        if (bytes > context_.source_limit_bytes) { return failure("read stdin", std::errc::file_too_large); }
        keys.emplace_back(key);
      }
    } else {
      keys.push_back(*arguments_.erase);
    }
    std::size_t erased = 0;
    for (const std::string& argument : arguments_.tables) {
      const Name name = split(argument);
      SP_TRY(const std::size_t count, erase_from_table(name.type, name.name, keys, arguments_.build, context_));
      erased += count;
    }
    return erased > 0;
  }

  Result<bool> build() {
    std::optional<std::string> input;
    for (const std::string& argument : arguments_.tables) {
      const Name name = split(argument);
      if (!arguments_.incremental) {
        SP_TRY(build_table(name.type, name.name, arguments_.build, context_));
        continue;
      }
      if (!input) { SP_TRY(input, read_input()); }
      SP_TRY(update_table(name.type, name.name, "stdin", *input, arguments_.build, context_));
    }
    return true;
  }

  /// All of standard input, within the limit of a source file.
  Result<std::string> read_input() const {
    std::string text;
    for (;;) {
      const std::size_t have = text.size();
      text.resize(have + kOutputBytes);
      SP_TRY(const std::size_t got, sys::read(STDIN_FILENO, std::span(text).subspan(have)));
      text.resize(have + got);
      if (got == 0) { return text; }
      if (text.size() > context_.source_limit_bytes) { return failure("read stdin", std::errc::file_too_large); }
    }
  }

  static constexpr std::size_t kOutputBytes = 65536;
  const CommandVariant& variant_;
  Arguments arguments_;
  OpenContext context_;
  std::string default_type_;
  std::string output_;
};

int fatal(std::string_view text) {
  log::fatal("{}", text);
  return 1;
}

/// Damage of a Berkeley DB file can crash the library that reads it.
bool reads_berkeley_db(const Arguments& arguments, const config::Snapshot& config) {
  if (!arguments.list && !arguments.query && !arguments.erase) { return false; }
  const std::string& otherwise = config.text("default_database_type");
  return std::ranges::any_of(arguments.tables, [&](const std::string& table) {
    const bool typed = table.contains(':');
    return table.contains("hash:") || table.contains("btree:") ||
           (!typed && (otherwise == "hash" || otherwise == "btree"));
  });
}

/// A listing takes the time that its files ask for; a library in an endless loop takes more. Keys come for as long as
/// somebody writes them.
std::chrono::seconds cpu_limit(const Arguments& arguments) {
  constexpr std::chrono::seconds kLeast{60};
  constexpr std::int64_t kBytesPerSecond = 1 << 20;
  if (!arguments.list) { return std::chrono::seconds(0); }
  std::chrono::seconds limit = kLeast;
  for (const std::string& table : arguments.tables) {
    const auto status = sys::stat(table.substr(table.find(':') + 1) + ".db");
    if (status) { limit += std::chrono::seconds(status->st_size / kBytesPerSecond); }
  }
  return limit;
}

int run(const config::SnapshotPtr& configuration, const CommandVariant& variant, Arguments arguments) {
  const config::Snapshot& snapshot = *configuration;
  net::EventLoop loop;
  OpenContext context = make_context(configuration, &loop);
  context.may_block = true;
  context.queue_directory = snapshot.text("queue_directory");
  context.fold = arguments.fold;
  context.nul = arguments.build.nul;
  // Headers and bodies may be in any character set.
  const bool from_message = arguments.message.headers || arguments.message.body;
  context.utf8 = arguments.utf8 && (!from_message || arguments.force_utf8) && snapshot.boolean("smtputf8_enable")
                     ? Utf8::check
                     : Utf8::off;
  arguments.build.format = variant.format;
  arguments.build.host_name = snapshot.text("myhostname");
  const auto done =
      TableCommand(variant, std::move(arguments), std::move(context), snapshot.text("default_database_type")).run();
  std::fflush(stdout);
  if (!done) { return fatal(done.error().message()); }
  return *done ? 0 : 1;
}

}  // namespace

int run_table_command(int argc, char** argv, const CommandVariant& variant) {
  log::Settings settings;
  settings.program_name = variant.name;
  log::open(settings);
  Arguments arguments;
  if (const auto problem = parse_arguments(argc, argv, variant, arguments)) { return fatal(*problem); }
  if (const char* directory = ::getenv("MAIL_CONFIG"); directory != nullptr && arguments.config_directory.empty()) {
    arguments.config_directory = directory;
  }
  config::LoadOptions load;
  load.config_directory = arguments.config_directory;
  load.process_name = variant.name;
  const auto configuration = config::Snapshot::load(load);
  if (!configuration) { return fatal(configuration.error().message()); }
  const config::Snapshot& snapshot = **configuration;
  settings.verbose = arguments.verbose;
  settings.copy_to_stderr = true;
  settings.program_name = fmt::format("{}/{}", snapshot.text("syslog_name"), variant.name);
  settings.facility = snapshot.text("syslog_facility");
  settings.destination = log::Destination::syslog;
  if (!snapshot.text("maillog_file").empty()) {
    settings.destination = log::Destination::postlog;
    settings.postlog_socket = snapshot.text("queue_directory") + "/public/" + snapshot.text("postlog_service_name");
  }
  log::open(settings);

  if (!reads_berkeley_db(arguments, snapshot)) { return run(*configuration, variant, std::move(arguments)); }
  std::string ended;
  const auto status = run_contained(
      [&] {
        const int code = run(*configuration, variant, arguments);
        log::flush();
        return code;
      },
      cpu_limit(arguments), ended);
  if (status) { return *status; }
  return fatal(fmt::format("{}: damaged database? Reading it was {}", text::join(arguments.tables, " "), ended));
}

}  // namespace stagepost::maps
