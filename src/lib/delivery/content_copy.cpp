#include "delivery/content_copy.hpp"

#include <ctime>

#include "base/sys.hpp"
#include "mail/address.hpp"

namespace stagepost::delivery {
namespace {
constexpr std::size_t kBufferBytes = 64 * 1024;
}

Result<> FdTarget::write(std::string_view bytes) {
  if (limit_bytes_ > 0 && written_ + bytes.size() > limit_bytes_) {
    return errno_failure(EFBIG, "error writing message");
  }
  auto done = sys::write_all(fd_, bytes);
  if (!done) { return std::unexpected(Error{done.error().code, "error writing message"}); }
  written_ += bytes.size();
  return {};
}

Result<> copy_content(queue::MessageReader& reader, const queue::Envelope& envelope, const CopyOptions& options,
                      ContentTarget& target) {
  SP_TRY(reader.rewind_content(envelope));
  std::string buffer;
  for (const std::string& line : options.prepend) {
    buffer += line;
    buffer += '\n';
  }
  bool at_line_start = true;
  for (;;) {
    SP_TRY(const auto line, reader.next_line());
    if (!line) { break; }
    if (options.mbox && at_line_start && line->text.starts_with("From ")) { buffer += '>'; }
    buffer += line->text;
    if (line->complete) { buffer += '\n'; }
    at_line_start = line->complete;
    if (buffer.size() >= kBufferBytes) {
      SP_TRY(target.write(buffer));
      buffer.clear();
    }
  }
  if (!at_line_start) { buffer += '\n'; }
  if (options.mbox) { buffer += '\n'; }
  return target.write(buffer);
}

std::vector<std::string> delivery_fields(std::string_view sender, std::string_view original, std::string_view address) {
  std::vector<std::string> fields;
  fields.push_back("Return-Path: <" + mail::quote_822_local(sender) + ">");
  if (!original.empty()) { fields.push_back("X-Original-To: " + mail::quote_822_local(original)); }
  fields.push_back("Delivered-To: " + mail::quote_822_local(address));
  return fields;
}

std::string mbox_from_line(std::string_view sender) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char stamp[40];
  std::strftime(stamp, sizeof stamp, "%a %b %e %H:%M:%S %Y", &local);
  const std::string from = sender.empty() ? "MAILER-DAEMON" : mail::quote_822_local(sender);
  return "From " + from + "  " + stamp;
}

}  // namespace stagepost::delivery
