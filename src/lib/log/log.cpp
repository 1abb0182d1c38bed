#include "log/log.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>
#include <utility>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>

#include "base/assert.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "log/batch.hpp"
#include "log/last_words.hpp"
#include "log/sanitizer_report.hpp"

namespace stagepost::log {
namespace {

constexpr std::array<std::pair<std::string_view, int>, 20> kFacilities{{
    {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},     {"daemon", LOG_DAEMON},
    {"ftp", LOG_FTP},       {"kern", LOG_KERN},         {"lpr", LOG_LPR},       {"mail", LOG_MAIL},
    {"news", LOG_NEWS},     {"syslog", LOG_SYSLOG},     {"user", LOG_USER},     {"uucp", LOG_UUCP},
    {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},
    {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5},     {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
}};

int facility_number(std::string_view name) {
  for (const auto& [facility, number] : kFacilities) {
    if (facility == name) { return number; }
  }
  return LOG_MAIL;
}

std::string_view label(Level level) {
  switch (level) {
    case Level::debug:
    case Level::info:
      return "";
    case Level::warning:
      return "warning: ";
    case Level::error:
      return "error: ";
    case Level::fatal:
      return "fatal: ";
    case Level::panic:
      return "panic: ";
  }
  return "";
}

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::fatal:
    case Level::panic:
      return spdlog::level::critical;
  }
  return spdlog::level::info;
}

/// Sends lines to postlogd, each by itself or collected. The socket stays connected across chroot; master owns the
/// other end, so a restarted postlogd goes on with the lines that waited.
class PostlogSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  PostlogSink(std::string path, std::string fallback_file)
      : path_(std::move(path)), fallback_file_(std::move(fallback_file)) {
    connect();
  }

  ~PostlogSink() override { send_collected(); }

  void collect(std::function<void()> soon) {
    const std::lock_guard lock(mutex_);
    send_collected();
    soon_ = std::move(soon);
    // From here on the batch stays where it is in memory.
    collected_.reserve(kReserved);
    if (soon_) { catch_deadly_signals(); }
  }

  /// In a child: what was collected is the parent's to send.
  void after_fork() {
    forget();
    soon_ = nullptr;
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const LineTime now = line_time();
    const std::string_view line(message.payload.data(), message.payload.size());
    const std::size_t octets = batch_octets(line.size());
    if (collected_.size() + octets + 1 > kReserved) { send_collected(); }
    if (lines_ == 0) { oldest_ = now; }
    append_to_batch(collected_, now, line);
    ++lines_;
    constexpr LineTime kLongest = std::chrono::nanoseconds(kCollectTime).count();
    if (!soon_ || message.level >= spdlog::level::warn || collected_.size() >= kBatchBytes ||
        now - oldest_ >= kLongest) {
      return send_collected();
    }
    last_words_.set(fd_.get(), collected_.data(), collected_.size());
    if (lines_ == 1) { soon_(); }
  }
  void flush_() override { send_collected(); }

 private:
  /// Holds a batch that is almost full and one more line of usual length; a longer line leaves by itself.
  static constexpr std::size_t kReserved = 2 * kBatchBytes;

  void forget() {
    last_words_.set(-1, nullptr, 0);
    collected_.clear();
    lines_ = 0;
  }

  void send_collected() {
    if (lines_ > 0) { deliver(); }
    forget();
  }

  void deliver() {
    // Commands, which alone have a fallback file, collect nothing: there is one line in the batch.
    const bool written = send(collected_) || (lines_ == 1 && append(*BatchReader(collected_).next()));
    if (!written) { lost_ += lines_; }
    if (lost_ > 0 && send(fmt::format("warning: {} log lines lost: postlogd did not keep up", lost_))) { lost_ = 0; }
  }

  void connect() {
    fd_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) { return fd_.reset(); }
    path_.copy(address.sun_path, path_.size());
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) { fd_.reset(); }
  }

  bool send(std::string_view datagram) {
    for (int attempt = 0; attempt < 3; ++attempt) {
      if (!fd_) { connect(); }
      if (!fd_) { return false; }
      if (::send(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL) >= 0) { return true; }
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        pollfd wait{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
        ::poll(&wait, 1, 50);
      } else if (errno != EINTR) {
        fd_.reset();
      }
    }
    return false;
  }

  [[nodiscard]] bool append(const BatchReader::Line& line) const {
    if (fallback_file_.empty()) { return false; }
    // With maillog_file = /dev/stdout the line is the command's output.
    const bool to_stdout = fallback_file_ == "/dev/stdout";
    const unique_fd file(
        to_stdout ? ::dup(STDOUT_FILENO)
                  : ::open(fallback_file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file) { return false; }
    const std::string whole = std::string(line.text) + "\n";
    return ::write(file.get(), whole.data(), whole.size()) == static_cast<ssize_t>(whole.size());
  }

  std::string path_;
  std::string fallback_file_;
  unique_fd fd_;
  std::size_t lost_ = 0;
  std::function<void()> soon_;
  std::string collected_;
  std::size_t lines_ = 0;
  LineTime oldest_ = 0;  ///< of the first collected line
  LastWords last_words_;
};

struct State {
  Settings settings;
  int pid = 0;  ///< asked once per open() and fork(): a system call for each line is one too many
  std::shared_ptr<spdlog::logger> logger;
  std::shared_ptr<spdlog::logger> stderr_copy;
  std::shared_ptr<PostlogSink> postlog;
  std::function<void(Level, std::string_view)> captured;
};

// The one deliberate global: a process has one log, opened before its first thread.
State& state() {
  static State instance;
  return instance;
}

std::shared_ptr<spdlog::logger> make_logger(std::shared_ptr<spdlog::sinks::sink> sink) {
  auto logger = std::make_shared<spdlog::logger>("stagepost", std::move(sink));
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::debug);
  logger->set_error_handler([](const std::string&) {});
  return logger;
}

void json_escape(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '"' || c == '\\') { out += '\\'; }
    out += c;  // control bytes were replaced by printable()
  }
}

/// Length of the queue ID that starts `text` ("ID: ..."), or 0. Short ids are hexadecimal, long ids base 52 with 'z'.
std::size_t leading_queue_id(std::string_view text) {
  const std::size_t colon = text.find(": ");
  if (colon == std::string_view::npos || colon < 6 || colon > 30) { return 0; }
  bool digit = false;
  for (const char c : text.substr(0, colon)) {
    if (!text::is_alnum(c)) { return 0; }
    digit = digit || text::is_digit(c);
  }
  return digit ? colon : 0;
}

void on_assert(const char* message) noexcept {
  write(Level::panic, message);
  flush();
}

}  // namespace

std::string labelled(Level level, std::string_view text) {
  std::string line(label(level));
  line += printable(text);
  return line;
}

std::string file_line(std::string_view host, std::string_view program_name, int pid, std::string_view labelled_text) {
  // Many lines share a second; a change of the time zone shows with the next one.
  static thread_local std::time_t stamped = -1;
  static thread_local char stamp[32];
  const std::time_t now = std::time(nullptr);
  if (now != stamped) {
    std::tm local{};
    ::localtime_r(&now, &local);
    std::strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    stamped = now;
  }
  char machine[256] = "localhost";
  if (host.empty()) {
    ::gethostname(machine, sizeof machine - 1);
    host = machine;
  }
  return fmt::format("{} {} {}[{}]: {}", stamp, host.substr(0, host.find('.')), program_name, pid, labelled_text);
}

std::string json_line(std::string_view program_name, int pid, Level level, std::string_view text) {
  static constexpr std::array<std::string_view, 6> kNames{"debug", "info", "warning", "error", "fatal", "panic"};
  const auto now = std::chrono::system_clock::now();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = micros / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  const std::size_t id = leading_queue_id(text);
  std::string out = fmt::format(R"({{"time":"{}.{:06}Z","process":")", stamp, micros % 1'000'000);
  json_escape(out, program_name);
  out += fmt::format(R"(","pid":{},"level":"{}")", pid, kNames.at(static_cast<std::size_t>(level)));
  if (id > 0) {
    out += fmt::format(R"(,"queue_id":"{}")", text.substr(0, id));
    text.remove_prefix(id + 2);
  }
  out += R"(,"message":")";
  json_escape(out, printable(text));
  out += "\"}";
  return out;
}

void open(const Settings& settings) {
  State& s = state();
  s.settings = settings;
  s.pid = ::getpid();
  [[maybe_unused]] static const int registered = ::pthread_atfork(nullptr, nullptr, [] {
    state().pid = ::getpid();
    if (state().postlog) { state().postlog->after_fork(); }
  });
  s.stderr_copy.reset();
  s.postlog.reset();
  switch (settings.destination) {
    case Destination::syslog:
      // The end of an older sink is closelog(), which would take the name away from the new one.
      s.logger.reset();
      s.logger = make_logger(std::make_shared<spdlog::sinks::syslog_sink_mt>(
          settings.program_name, LOG_PID | LOG_NDELAY, facility_number(settings.facility), false));
      break;
    case Destination::postlog:
      s.postlog = std::make_shared<PostlogSink>(settings.postlog_socket, settings.fallback_file);
      s.logger = make_logger(s.postlog);
      break;
    case Destination::stderr_stream:
      s.logger = make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
      break;
  }
  if (settings.copy_to_stderr && settings.destination != Destination::stderr_stream) {
    s.stderr_copy = make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  }
  set_assert_handler(on_assert);
  log_sanitizer_reports();
}

void capture(std::function<void(Level, std::string_view)> sink) { state().captured = std::move(sink); }

void collect(std::function<void()> soon) {
  if (state().postlog) { state().postlog->collect(std::move(soon)); }
}

void flush() noexcept {
  try {
    if (state().postlog) { state().postlog->flush(); }
  } catch (...) {  // NOLINT(bugprone-empty-catch): nowhere left to report to
  }
}

bool verbose() { return state().settings.verbose; }

bool opened() { return state().logger != nullptr || state().captured; }

void write(Level level, std::string_view text) noexcept {
  try {
    State& s = state();
    if (level == Level::debug && !s.settings.verbose) { return; }
    if (s.captured) { return s.captured(level, text); }
    if (!s.logger) { open(Settings{}); }
    const Settings& settings = s.settings;
    const auto severity = spdlog_level(level);
    const bool json = settings.format == Format::json;
    const auto plain = labelled(level, text);
    switch (settings.destination) {
      case Destination::syslog:
        s.logger->log(severity, json ? json_line(settings.program_name, s.pid, level, text) : plain);
        break;
      case Destination::postlog:
        s.logger->log(severity, json ? json_line(settings.program_name, s.pid, level, text)
                                     : file_line(settings.host, settings.program_name, s.pid, plain));
        break;
      case Destination::stderr_stream:
        s.logger->log(severity, settings.program_name + ": " + plain);
        break;
    }
    if (s.stderr_copy && level >= Level::warning) {
      // Commands call themselves "postmap" on the terminal and "postfix/postmap" in the log.
      s.stderr_copy->log(severity, settings.program_name.substr(settings.program_name.rfind('/') + 1) + ": " + plain);
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): nowhere left to report to
  }
}

}  // namespace stagepost::log
