#include "commands/smtp-sink/capture.hpp"

#include <array>
#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <iterator>
#include <random>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "mail/date.hpp"

namespace stagepost::smtp_sink {
namespace {

constexpr std::size_t kWriteBytes = 64 * 1024;
constexpr int kNameAttempts = 100;

std::string random_part() {
  static std::random_device random;
  return fmt::format("{:08x}", random() & 0xffffffffU);
}

Result<std::string> expand(const std::string& pattern) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  std::string name(4096, '\0');
  const std::size_t length = std::strftime(name.data(), name.size(), pattern.c_str(), &local);
  if (length == 0) { return failure("dump template gives no name, or too long a one: " + pattern); }
  name.resize(length);
  return name;
}

Result<std::string> make_parents(std::string path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) { return std::string("."); }
  path.resize(std::max<std::size_t>(slash, 1));
  SP_TRY(sys::make_directories(path, 0777));
  return path;
}

// Also for a file somebody else makes at the same moment: the next name is tried.
Result<unique_fd> create_unique(const std::string& prefix, std::string& path, std::string& id) {
  for (int attempt = 0;; ++attempt) {
    id = random_part();
    path = prefix + id;
    auto fd = sys::open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd || !fd.error().is(std::errc::file_exists) || attempt >= kNameAttempts) { return fd; }
  }
}

}  // namespace

void ContentDecoder::append(std::string_view wire, std::string& out) {
  for (const char byte : wire) {
    if (cr_pending_) {
      cr_pending_ = false;
      if (byte == '\n') {
        out.push_back('\n');
        line_start_ = true;
        continue;
      }
      out.push_back('\r');
      line_start_ = false;
    }
    if (byte == '\r') {
      cr_pending_ = true;
    } else if (byte == '.' && line_start_) {
      line_start_ = false;
    } else {
      out.push_back(byte);
      line_start_ = byte == '\n';
    }
  }
}

Result<Capture> Capture::create(const Options& options, const Client& client, const Envelope& envelope,
                                std::string_view protocol) {
  Capture capture;
  capture.shared_ = options.single_dump.empty();
  std::string id;
  SP_TRY(const auto name, expand(capture.shared_ ? options.multi_dump : options.single_dump));
  SP_TRY(const auto directory, make_parents(name));
  if (capture.shared_) {
    // Sessions run side by side; each message waits in a file without name until it is whole.
    capture.path_ = name;
    id = random_part();
    SP_TRY(capture.fd_, sys::open(directory, O_RDWR | O_TMPFILE, 0600));
  } else {
    SP_TRY(capture.fd_, create_unique(name, capture.path_, id));
  }
  auto to = std::back_inserter(capture.buffer_);
  const std::string address = (client.ipv6 ? "ipv6:" : "") + client.address;
  fmt::format_to(to, "{}X-Client-Addr: {}\nX-Client-Proto: {}\n", options.start_string, address, protocol);
  if (!envelope.helo.empty()) { fmt::format_to(to, "X-Helo-Args: {}\n", envelope.helo); }
  fmt::format_to(to, "X-Mail-Args: {}\n", envelope.mail);
  for (const std::string& recipient : envelope.recipients) { fmt::format_to(to, "X-Rcpt-Args: {}\n", recipient); }
  const std::string bracketed = "[" + address + "]";
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  fmt::format_to(to, "Received: from {} ({})\n\tby {} (smtp-sink) with {} id {};\n\t{}\n",
                 envelope.helo.empty() ? bracketed : envelope.helo, bracketed, options.hostname, protocol, id,
                 mail::format_date(now));
  return capture;
}

Capture::~Capture() {
  if (fd_ && !finished_ && !shared_) { ::unlink(path_.c_str()); }
}

Result<> Capture::add(std::string_view wire) {
  decoder_.append(wire, buffer_);
  if (buffer_.size() < kWriteBytes) { return {}; }
  SP_TRY(sys::write_all(fd_.get(), buffer_));
  buffer_.clear();
  return {};
}

Result<> Capture::finish() {
  SP_TRY(sys::write_all(fd_.get(), buffer_));
  finished_ = true;
  if (!shared_) { return {}; }
  SP_TRY(const auto target, sys::open(path_, O_WRONLY | O_APPEND | O_CREAT, 0644));
  // Other sinks may write to the same file.
  SP_TRY(sys::lock_exclusive(target.get(), sys::LockWait::yes));
  buffer_.resize(kWriteBytes);
  for (off_t offset = 0;;) {
    SP_TRY(const auto n, sys::pread(fd_.get(), buffer_, offset));
    if (n == 0) { return {}; }
    SP_TRY(sys::write_all(target.get(), std::string_view(buffer_).substr(0, n)));
    offset += static_cast<off_t>(n);
  }
}

}  // namespace stagepost::smtp_sink
