#include "commands/smtp-source/message.hpp"

#include <algorithm>
#include <iterator>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "mail/date.hpp"

namespace stagepost::smtp_source {
namespace {

constexpr std::size_t kLineBytes = 80;
constexpr std::size_t kLargestFile = std::size_t{1} << 30;
constexpr std::string_view kEndOfData = ".\r\n";

}  // namespace

std::string numbered_body(std::size_t length_bytes) {
  std::string body;
  body.reserve(length_bytes + 2);
  for (std::size_t line = 1; length_bytes > kLineBytes; ++line, length_bytes -= kLineBytes) {
    const std::size_t begin = body.size();
    body += std::to_string(line);
    body.resize(begin + kLineBytes - 2, 'X');
    body += "\r\n";
  }
  body.append(length_bytes, 'X');
  body += "\r\n";
  return body;
}

std::string wire_form(std::string_view text) {
  std::string wire;
  wire.reserve(text.size() + text.size() / 40 + 2);
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    if (line.ends_with('\r')) { line.remove_suffix(1); }
    if (line.starts_with('.')) { wire.push_back('.'); }
    wire += line;
    wire += "\r\n";
  }
  return wire;
}

Result<MessageTemplate> MessageTemplate::create(const Options& options) {
  MessageTemplate made;
  if (!options.file.empty()) {
    SP_TRY(const auto text, sys::read_file(options.file, kLargestFile));
    made.body_ = wire_form(text);
    made.has_header_ = false;
  } else {
    made.has_header_ = !options.old_mode;
    if (options.length_bytes) {
      made.body_ = numbered_body(*options.length_bytes);
    } else if (!options.old_mode) {
      for (int line = 1; line <= 4; ++line) { made.body_ += fmt::format("Test text, line {}.\r\n", line); }
    }
  }
  made.body_ += kEndOfData;
  return made;
}

void MessageTemplate::append_header(const Options& options, std::uint64_t session, std::uint64_t number,
                                    std::string& out) {
  auto to = std::back_inserter(out);
  if (options.stamp) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    fmt::format_to(to, "{}: {}\r\n", kStampField, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  }
  if (!has_header_) {
    // A file begins with a header of its own; a bare body does not.
    if (options.stamp && options.file.empty()) { out += "\r\n"; }
    return;
  }
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  if (now != date_second_ || date_.empty()) {
    date_second_ = now;
    date_ = mail::format_date(now);
  }
  fmt::format_to(to, "From: <{}>\r\nTo: <{}>\r\nDate: {}\r\nMessage-Id: <{:04x}.{:04x}.{:04x}@{}>\r\n", options.sender,
                 options.recipient, date_, ::getpid(), session, number, options.hostname);
  if (!options.subject.empty()) { fmt::format_to(to, "Subject: {}\r\n", options.subject); }
  out += "\r\n";
}

void append_recipient(const Options& options, std::uint64_t index, std::uint64_t& sequence, std::string& out) {
  auto to = std::back_inserter(out);
  if (options.number_recipients) {
    fmt::format_to(to, "RCPT TO:<{}{}>\r\n", ++sequence, options.recipient);
    return;
  }
  // Counts down; the last recipient has the address as given.
  const std::uint64_t number = options.recipients - index;
  if (number > 1) {
    fmt::format_to(to, "RCPT TO:<{}{}>\r\n", number, options.recipient);
  } else {
    fmt::format_to(to, "RCPT TO:<{}>\r\n", options.recipient);
  }
}

}  // namespace stagepost::smtp_source
