#include "delivery/report_log.hpp"

#include <array>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/assert.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "mail/address.hpp"
#include "queue/lock.hpp"

namespace stagepost::delivery {
namespace {

using Action = RecipientReport::Action;

constexpr std::array<std::pair<Action, std::string_view>, 7> kActions{{{Action::failed, "failed"},
                                                                       {Action::delayed, "delayed"},
                                                                       {Action::delivered, "delivered"},
                                                                       {Action::relayed, "relayed"},
                                                                       {Action::expanded, "expanded"},
                                                                       {Action::deliverable, "deliverable"},
                                                                       {Action::undeliverable, "undeliverable"}}};

std::string one_line(std::string_view value) {
  std::string text(value.substr(0, kReportLineOctets / 2));
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) { c = '?'; }
  }
  return text;
}

/// Addresses are in external form in the file.
std::string external(std::string_view address) { return one_line(mail::quote_822_local(address)); }
std::string internal(std::string_view text) {
  std::string address = mail::unquote_822_local(text);
  return address.empty() ? std::string(text) : address;
}

void add(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) { return; }
  out += name;
  out += '=';
  out += one_line(value);
  out += '\n';
}

}  // namespace

std::string_view action_word(Action action) {
  for (const auto& [value, word] : kActions) {
    if (value == action) { return word; }
  }
  SP_ASSERT(false);
}

std::string format_entry(const RecipientReport& report, ReadableLine readable) {
  const auto& recipient = report.recipient;
  std::string out = "\n";
  if (readable == ReadableLine::yes) {
    out += "<" + external(recipient.address) + ">: " + one_line(report.reason) + "\n";
  }
  // The recipient is written even when empty: it is what makes the entry one.
  out += "recipient=" + external(recipient.address) + "\n";
  if (recipient.original != recipient.address) {
    add(out, "original_recipient", mail::quote_822_local(recipient.original));
  }
  if (recipient.offset > 0) { add(out, "offset", std::to_string(recipient.offset)); }
  add(out, "dsn_orig_rcpt", recipient.dsn_original);
  if (recipient.notify != 0) { add(out, "notify_flags", std::to_string(recipient.notify)); }
  add(out, "status", report.status);
  add(out, "action", action_word(report.action));
  if (!report.diagnostic.empty()) {
    add(out, "diag_type", report.diagnostic_type);
    add(out, "diag_text", report.diagnostic);
  }
  if (!report.remote_mta.empty()) {
    add(out, "mta_type", "dns");
    add(out, "mta_mname", report.remote_mta);
  }
  add(out, "reason", report.reason);
  out += '\n';
  return out;
}

void ReportLogParser::take_attribute(std::string_view name, std::string_view value) {
  auto& recipient = entry_.recipient;
  if (name == "recipient") {
    recipient.address = internal(value);
  } else if (name == "original_recipient") {
    recipient.original = internal(value);
  } else if (name == "offset") {
    recipient.offset = text::parse_signed(value).value_or(0);
  } else if (name == "dsn_orig_rcpt") {
    recipient.dsn_original = value;
  } else if (name == "notify_flags") {
    const auto number = text::parse_unsigned(value);
    if (number && *number <= 0xff) { recipient.notify = static_cast<std::uint32_t>(*number); }
  } else if (name == "status") {
    entry_.status = value;
  } else if (name == "action") {
    for (const auto& [action, word] : kActions) {
      if (value == word) { entry_.action = action; }
    }
  } else if (name == "diag_type") {
    entry_.diagnostic_type = value;
  } else if (name == "diag_text") {
    entry_.diagnostic = value;
  } else if (name == "mta_mname") {
    entry_.remote_mta = value;
  } else if (name == "reason") {
    entry_.reason = value;
  }
}

std::optional<RecipientReport> ReportLogParser::feed(std::string_view line) {
  if (text::trim(line).empty()) { return finish(); }
  started_ = true;
  if (line.front() == '<') {
    // The line for people; an address may hold ">: " only inside quotes, so the first one after them ends it.
    const std::size_t end = line.find(">: ");
    if (end == std::string_view::npos) { return std::nullopt; }
    readable_address_ = internal(line.substr(1, end - 1));
    readable_reason_ = line.substr(end + 3);
    return std::nullopt;
  }
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) { return std::nullopt; }
  take_attribute(text::trim(line.substr(0, equals)), text::trim(line.substr(equals + 1)));
  return std::nullopt;
}

std::optional<RecipientReport> ReportLogParser::finish() {
  if (!std::exchange(started_, false)) { return std::nullopt; }
  RecipientReport entry = std::exchange(entry_, {});
  const std::string address = std::exchange(readable_address_, {});
  std::string reason = std::exchange(readable_reason_, {});
  if (entry.recipient.address.empty()) { entry.recipient.address = address; }
  if (entry.reason.empty()) { entry.reason = std::move(reason); }
  if (entry.recipient.address.empty()) { return std::nullopt; }
  return entry;
}

Result<ReportLogReader> ReportLogReader::open(const std::string& path) {
  SP_TRY(auto fd, sys::open_to_read(path, O_NOFOLLOW | O_NONBLOCK));
  // Whatever else it might be ends at once, or cannot be read.
  return ReportLogReader(std::move(fd));
}

Result<> ReportLogReader::rewind() {
  if (::lseek(fd_.get(), 0, SEEK_SET) < 0) { return errno_failure("seek in report log"); }
  parser_ = {};
  buffer_.clear();
  start_ = 0;
  long_line_.clear();
  ended_ = false;
  at_end_ = false;
  return {};
}

Result<bool> ReportLogReader::fill() {
  std::array<char, 16 * 1024> chunk;
  if (at_end_) { return false; }
  SP_TRY(const std::size_t got, sys::read(fd_.get(), chunk));
  // A regular file gives less than what was asked for only at its end.
  at_end_ = got < chunk.size();
  buffer_.assign(chunk.data(), got);
  start_ = 0;
  return got > 0;
}

Result<std::optional<RecipientReport>> ReportLogReader::next() {
  while (!ended_) {
    if (start_ == buffer_.size()) {
      SP_TRY(const bool more, fill());
      if (!more) {
        ended_ = true;
        auto entry = long_line_.empty() ? std::nullopt : parser_.feed(long_line_);
        return entry ? entry : parser_.finish();
      }
    }
    const std::string_view rest = std::string_view(buffer_).substr(start_);
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    start_ += end == std::string_view::npos ? rest.size() : end + 1;
    if (end == std::string_view::npos || !long_line_.empty()) {
      const std::size_t room = kReportLineOctets - std::min(kReportLineOctets, long_line_.size());
      long_line_ += line.substr(0, room);
      if (end == std::string_view::npos) { continue; }
      line = long_line_;
    }
    auto entry = parser_.feed(line);
    long_line_.clear();
    if (entry) { return entry; }
  }
  return std::nullopt;
}

Result<> append_entry(const std::string& path, const RecipientReport& report, ReadableLine readable) {
  const std::string text = format_entry(report, readable);
  // Whoever sends the report removes the file under the same lock; a file that is gone by then is not the one to use.
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    SP_TRY(const auto fd, sys::open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600));
    SP_TRY(queue::try_lock(fd.get()));
    SP_TRY(const struct stat st, sys::fstat(fd.get()));
    if (st.st_nlink == 0) { continue; }
    const auto written = sys::write_all(fd.get(), text);
    if (written) { return {}; }
    // A part of an entry must not stay: the next one would be taken for its end.
    if (::ftruncate(fd.get(), st.st_size) != 0) { return errno_failure("truncate " + path); }
    return written;
  }
  return failure(path + ": removed again and again", std::errc::resource_unavailable_try_again);
}

Result<> sync_log(const std::string& path) {
  const auto fd = sys::open(path, O_WRONLY | O_NOFOLLOW);
  if (!fd && fd.error().is(std::errc::no_such_file_or_directory)) { return {}; }
  if (!fd) { return std::unexpected(fd.error()); }
  return sys::fsync(fd->get());
}

Result<> append_missing_entries(const std::string& path, const std::vector<RecipientReport>& reports,
                                ReadableLine readable) {
  SP_TRY(auto reader, ReportLogReader::open(path));
  std::set<std::string> known;
  for (;;) {
    SP_TRY(const auto entry, reader.next());
    if (!entry) { break; }
    known.insert(entry->recipient.address);
  }
  for (const RecipientReport& report : reports) {
    if (!known.contains(report.recipient.address)) { SP_TRY(append_entry(path, report, readable)); }
  }
  return {};
}

}  // namespace stagepost::delivery
