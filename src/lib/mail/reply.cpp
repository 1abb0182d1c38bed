// See reply.hpp.
#include "mail/reply.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::smtp {
namespace {

/// Control characters would let one reply look like two.
void append_printable(std::string_view text, std::string& out) {
  const std::size_t start = out.size();
  out += text;
  for (std::size_t i = start; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    if ((c < 0x20 && c != '\t') || c == 0x7f) { out[i] = '?'; }
  }
}

void append_line(const Reply& reply, std::string_view text, char separator, std::string& out) {
  out += fmt::format("{:03}{}", std::clamp(reply.code, 0, 999), separator);
  if (!reply.enhanced.empty()) {
    out += reply.enhanced;
    out += ' ';
  }
  append_printable(text, out);
}

}  // namespace

std::string format_reply(const Reply& reply) {
  std::string out;
  std::string_view rest = reply.text;
  for (;;) {
    const std::size_t end = rest.find('\n');
    append_line(reply, rest.substr(0, end), end == std::string_view::npos ? ' ' : '-', out);
    out += "\r\n";
    if (end == std::string_view::npos) { return out; }
    rest.remove_prefix(end + 1);
  }
}

std::string reply_for_log(const Reply& reply) {
  std::string out;
  append_line(reply, {}, ' ', out);
  for (std::string_view rest = reply.text;;) {
    const std::size_t end = rest.find('\n');
    append_printable(rest.substr(0, end), out);
    if (end == std::string_view::npos) { return out; }
    out += "; ";
    rest.remove_prefix(end + 1);
  }
}

std::optional<Reply> parse_reply_text(std::string_view text) {
  Reply reply;
  text = text::trim(text);
  if (text.size() >= 3 && (text[0] == '2' || text[0] == '4' || text[0] == '5') && text::is_digit(text[1]) &&
      text::is_digit(text[2]) && (text.size() == 3 || text::is_space(text[3]))) {
    reply.code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    text = text::trim(text.substr(3));
  }
  const std::size_t length = dsn::code_length(text);
  if (length > 0) {
    reply.enhanced = text.substr(0, length);
    text = text::trim(text.substr(length));
    if (reply.code == 0) {
      reply.code = (reply.enhanced.front() - '0') * 100 + 50;
    } else if (reply.enhanced.front() - '0' != reply.code / 100) {
      // The three-digit code decides (RFC 2034 §4: classes must agree).
      reply.enhanced = dsn::with_class(reply.enhanced, static_cast<char>('0' + reply.code / 100));
    }
  }
  if (reply.code == 0) { return std::nullopt; }
  reply.text = text;
  return reply;
}

dsn::Status to_status(const ServerReply& reply) {
  if (!reply.enhanced.empty()) { return {reply.enhanced, reply.text}; }
  const int reply_class = reply.reply_class();
  const char digit = reply_class == 2 || reply_class == 5 ? static_cast<char>('0' + reply_class) : '4';
  return {std::string{digit} + ".0.0", reply.text};
}

ReplyParser::State ReplyParser::feed(std::string_view line) {
  line = text::trim_end(line);
  // RFC 5321 §4.2.1; "250" alone is accepted as servers send it.
  if (line.size() < 3 || line[0] < '2' || line[0] > '5' || !text::is_digit(line[1]) || !text::is_digit(line[2]) ||
      (line.size() > 3 && line[3] != ' ' && line[3] != '-')) {
    return State::malformed;
  }
  const bool first = lines_ == 0;
  const bool last = line.size() == 3 || line[3] == ' ';
  // The last line's code is the reply's, should a server contradict itself.
  reply_.code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  if (first) {
    const std::string_view text = line.size() > 4 ? line.substr(4) : std::string_view{};
    const std::size_t length = dsn::code_length(text);
    if (length > 0 && text.front() == line.front()) { reply_.enhanced = text.substr(0, length); }
  }
  if (reply_.text.size() < limits_.text_octets) {
    if (!first) { reply_.text += '\n'; }
    append_printable(line.substr(0, limits_.text_octets - std::min(limits_.text_octets, reply_.text.size())),
                     reply_.text);
  }
  if (!reply_.enhanced.empty() && reply_.enhanced.front() != line.front()) { reply_.enhanced.clear(); }
  ++lines_;
  if (last) { return State::complete; }
  return lines_ >= limits_.lines ? State::too_long : State::more;
}

void ReplyParser::reset() {
  reply_ = {};
  lines_ = 0;
}

}  // namespace stagepost::smtp
