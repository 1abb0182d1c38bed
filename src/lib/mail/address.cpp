// See address.hpp.
#include "mail/address.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/text.hpp"
#include "mail/hostname.hpp"
#include "mail/icu.hpp"

namespace stagepost::mail {
namespace {

constexpr std::string_view kForbidden{"\0\r\n", 3};

/// RFC 5322 §3.2.3 "specials" without '.', and what never stands in an atom.
constexpr bool needs_quotes(char c) {
  switch (c) {
    case '(':
    case ')':
    case '<':
    case '>':
    case '[':
    case ']':
    case ':':
    case ';':
    case '@':
    case '\\':
    case ',':
    case '"':
      return true;
    default:
      return (static_cast<unsigned char>(c) <= ' ') || c == 0x7f;
  }
}

bool is_dot_atom(std::string_view s) {
  char previous = '.';
  for (const char c : s) {
    if (needs_quotes(c) || (c == '.' && previous == '.')) { return false; }
    previous = c;
  }
  return previous != '.';  // also false for the empty string
}

void append_quoted(std::string_view local_part, std::string& out) {
  if (is_dot_atom(local_part)) {
    out += local_part;
    return;
  }
  out += '"';
  for (const char c : local_part) {
    if (c == '"' || c == '\\') { out += '\\'; }
    out += c;
  }
  out += '"';
}

std::string quote_local(std::string_view internal) {
  std::string out;
  if (internal.empty()) { return out; }
  out.reserve(internal.size() + 4);
  const std::size_t at = internal.rfind('@');
  append_quoted(internal.substr(0, at), out);
  if (at != std::string_view::npos) { out += internal.substr(at); }
  return out;
}

/// What the scanner of a path collects: the text in internal form, and where unquoted operators stand in it.
struct ScannedPath {
  std::string text;
  std::size_t last_at = std::string::npos;
  /// Octets of the source route, with its ':'.
  std::size_t route = 0;
  bool had_comment = false;
  bool had_empty_quotes = false;
};

class PathScanner {
 public:
  PathScanner(std::string_view in, bool strict) : in_(in), strict_(strict) {}

  /// The address between '<' and '>' (or a bare one).
  bool scan(ScannedPath& out) {
    bool after_space = false;
    bool after_quoted = false;
    bool comma = false;
    while (pos_ < in_.size()) {
      const char c = in_[pos_];
      if (c == ' ' || c == '\t') {
        // White space separates words; inside a mailbox it may stand beside '.', '@' and ':' only.
        after_space = !out.text.empty();
        ++pos_;
        continue;
      }
      if (c == '(') {
        if (strict_ || !skip_comment()) { return false; }
        out.had_comment = true;
        continue;
      }
      if (is_control(c) || (after_space && !joins_words(c) && !joins_words(out.text.back()))) { return false; }
      after_space = false;
      if (c == '"') {
        // A quoted string is a whole word (RFC 5321 §4.1.2): a"b and "a"b are malformed.
        if (!out.text.empty() && out.text.back() != '.' && out.text.back() != '@' && out.text.back() != ':') {
          return false;
        }
        if (!quoted_string(out)) { return false; }
        after_quoted = true;
        continue;
      }
      if (after_quoted && c != '.' && c != '@' && c != ':' && c != '!' && c != '%') { return false; }
      after_quoted = false;
      switch (c) {
        case '\\':
          if (pos_ + 1 >= in_.size() || is_control(in_[pos_ + 1])) { return false; }
          out.text += in_[pos_ + 1];
          pos_ += 2;
          continue;
        case '[':
          // An address literal is a whole domain; anywhere else '[' needs quotes.
          if (out.last_at == std::string::npos || out.last_at + 1 != out.text.size() || !domain_literal(out)) {
            return false;
          }
          continue;
        case '@':
          out.last_at = out.text.size();
          break;
        case ':':
          if (out.route == 0 && !out.text.empty() && out.text.front() == '@' && out.last_at != std::string::npos) {
            out.route = out.text.size() + 1;
            out.last_at = std::string::npos;
            comma = false;
          }
          break;
        case ',':
          // Between the hosts of a source route only.
          if (out.text.empty() || out.text.front() != '@' || out.route != 0) { return false; }
          comma = true;
          break;
        case ')':
        case ']':
        case ';':
        case '<':
        case '>':
          return false;
        default:
          break;
      }
      out.text += c;
      ++pos_;
    }
    return !comma;
  }

 private:
  static bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

  static bool joins_words(char c) { return c == '.' || c == '@' || c == ':' || c == ','; }

  bool skip_comment() {
    std::size_t depth = 0;
    while (pos_ < in_.size()) {
      const char c = in_[pos_++];
      if (c == '\\') {
        ++pos_;
      } else if (c == '(') {
        ++depth;
      } else if (c == ')' && --depth == 0) {
        return true;
      }
    }
    return false;
  }

  bool quoted_string(ScannedPath& out) {
    const std::size_t start = out.text.size();
    for (++pos_; pos_ < in_.size(); ++pos_) {
      char c = in_[pos_];
      if (c == '"') {
        ++pos_;
        out.had_empty_quotes = out.had_empty_quotes || out.text.size() == start;
        return true;
      }
      if (c == '\\') {
        if (++pos_ >= in_.size()) { return false; }
        c = in_[pos_];
      }
      if (is_control(c) && c != '\t') { return false; }
      out.text += c;
    }
    return false;
  }

  bool domain_literal(ScannedPath& out) {
    const std::size_t end = in_.find(']', pos_);
    if (end == std::string_view::npos || std::ranges::any_of(in_.substr(pos_, end - pos_), is_control)) {
      return false;
    }
    out.text += in_.substr(pos_, end + 1 - pos_);
    pos_ = end + 1;
    return true;
  }

  std::string_view in_;
  bool strict_;
  std::size_t pos_ = 0;
};

/// Index of the first unquoted '<', or npos.
std::size_t find_open_angle(std::string_view s) {
  bool quoted = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '\\') {
      ++i;
    } else if (s[i] == '"') {
      quoted = !quoted;
    } else if (s[i] == '<' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

/// Index of the '>' that closes the '<' before `start`, or npos.
std::size_t find_close_angle(std::string_view s, std::size_t start) {
  bool quoted = false;
  for (std::size_t i = start; i < s.size(); ++i) {
    if (s[i] == '\\') {
      ++i;
    } else if (s[i] == '"') {
      quoted = !quoted;
    } else if (s[i] == '>' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

/// Takes the address out of `path`; nullopt if the brackets don't match or something else stands beside them.
std::optional<std::string_view> strip_angles(std::string_view path, bool strict) {
  if (strict) {
    if (path.size() < 2 || path.front() != '<' || path.back() != '>') { return std::nullopt; }
    // A second bracket is tolerated as Postfix does: <<a@b>>.
    std::string_view inner = path.substr(1, path.size() - 2);
    while (inner.starts_with('<')) { inner.remove_prefix(1); }
    const std::size_t close = find_close_angle(inner, 0);
    if (close != std::string_view::npos) {
      if (inner.find_first_not_of('>', close) != std::string_view::npos) { return std::nullopt; }
      inner = inner.substr(0, close);
    }
    return inner;
  }
  std::size_t open = find_open_angle(path);
  if (open == std::string_view::npos) {
    // "a@b>", "a@b;" and "a@b," are taken as Postfix takes them.
    const std::size_t last = path.find_last_not_of(">,; \t");
    return path.substr(0, last == std::string_view::npos ? 0 : last + 1);
  }
  while (open + 1 < path.size() && path[open + 1] == '<') { ++open; }
  const std::size_t close = find_close_angle(path, open + 1);
  if (close == std::string_view::npos || path.find_first_not_of(">,; \t", close) != std::string_view::npos) {
    return std::nullopt;
  }
  return path.substr(open + 1, close - open - 1);
}

bool is_acceptable_domain(std::string_view domain) {
  if (domain.starts_with('[')) { return parse_address_literal(domain).has_value(); }
  if (domain.ends_with('.')) { domain.remove_suffix(1); }
  if (text::is_ascii(domain)) { return is_valid_hostname(domain) && !is_ipv4(domain); }
  const auto ascii = domain_to_ascii(domain);
  return ascii && is_valid_hostname(*ascii);
}

bool is_never_split(std::string_view local_part) {
  return text::iequals(local_part, "postmaster") || text::iequals(local_part, "mailer-daemon") ||
         text::iequals(local_part, "double-bounce");
}

struct CaseMapCloser {
  void operator()(UCaseMap* map) const { icu()->close_case_map(map); }
};

const UCaseMap* case_map() {
  static const std::unique_ptr<UCaseMap, CaseMapCloser> map = [] {
    std::unique_ptr<UCaseMap, CaseMapCloser> opened;
    UErrorCode error = U_ZERO_ERROR;
    if (icu() != nullptr) { opened.reset(icu()->open_case_map("", U_FOLD_CASE_DEFAULT, &error)); }
    return opened;
  }();
  return map.get();
}

}  // namespace

std::optional<Address> Address::from_internal(std::string_view internal) {
  const std::size_t at = internal.rfind('@');
  if (at == std::string_view::npos) { return from_parts(internal, {}); }
  return from_parts(internal.substr(0, at), internal.substr(at + 1));
}

std::optional<Address> Address::from_parts(std::string_view local_part, std::string_view domain) {
  if (local_part.find_first_of(kForbidden) != std::string_view::npos ||
      domain.find_first_of(kForbidden) != std::string_view::npos) {
    return std::nullopt;
  }
  return Address(std::string(local_part), std::string(domain));
}

std::string Address::internal() const {
  std::string result;
  result.reserve(local_part_.size() + domain_.size() + 1);
  result += local_part_;
  if (!domain_.empty()) {
    result += '@';
    result += domain_;
  }
  return result;
}

std::string Address::external() const {
  std::string result;
  if (is_null()) { return result; }
  append_quoted(local_part_, result);
  if (!domain_.empty()) {
    result += '@';
    result += domain_;
  }
  return result;
}

std::expected<Address, PathError> parse_path(PeerBytes path, const PathOptions& options) {
  const std::string_view bytes = text::trim(path.unchecked());
  if (bytes.size() > options.limit_octets) { return std::unexpected(PathError::too_long); }
  if (!text::is_ascii(bytes) && (options.utf8 == Utf8::forbid || !text::is_utf8(bytes))) {
    return std::unexpected(PathError::not_utf8);
  }
  const auto inner = strip_angles(bytes, options.strict_rfc821_envelopes);
  ScannedPath scanned;
  if (!inner || !PathScanner(*inner, options.strict_rfc821_envelopes).scan(scanned)) {
    return std::unexpected(PathError::syntax);
  }
  std::string_view mailbox = scanned.text;
  std::size_t at = scanned.last_at;
  if (scanned.route > 0) {
    mailbox.remove_prefix(scanned.route);
    at = at == std::string::npos ? at : at - scanned.route;
  }
  if (mailbox.empty()) {
    if (scanned.had_empty_quotes || scanned.route > 0) { return std::unexpected(PathError::syntax); }
    return options.allow_null ? std::expected<Address, PathError>(Address{}) : std::unexpected(PathError::empty);
  }
  const std::string_view local_part = mailbox.substr(0, at);
  const std::string_view domain = at == std::string_view::npos ? std::string_view{} : mailbox.substr(at + 1);
  if (at != std::string_view::npos && !is_acceptable_domain(domain)) { return std::unexpected(PathError::syntax); }
  if (local_part.empty() && options.strict_rfc821_envelopes) { return std::unexpected(PathError::syntax); }
  auto address = Address::from_parts(local_part, domain);
  return address ? std::expected<Address, PathError>(*std::move(address)) : std::unexpected(PathError::syntax);
}

PathSplit split_path(std::string_view argument) {
  bool quoted = false;
  bool in_angles = false;
  std::size_t i = 0;
  for (; i < argument.size(); ++i) {
    const char c = argument[i];
    if (c == '\\' && i + 1 < argument.size()) {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (quoted) {
      continue;
    } else if (c == '<') {
      in_angles = true;
    } else if (c == '>') {
      in_angles = false;
    } else if ((c == ' ' || c == '\t') && !in_angles) {
      break;
    }
  }
  return {argument.substr(0, i), text::trim(argument.substr(i))};
}

std::string quote_822_local(std::string_view internal) { return quote_local(internal); }
std::string quote_821_local(std::string_view internal) { return quote_local(internal); }

std::string unquote_822_local(std::string_view external) {
  std::string result;
  result.reserve(external.size());
  bool quoted = false;
  std::size_t i = 0;
  // Only the local-part is quoted: from the last '@' outside quotes on, bytes are taken as they are.
  std::size_t domain = external.size();
  for (std::size_t k = 0; k < external.size(); ++k) {
    if (external[k] == '\\') {
      ++k;
    } else if (external[k] == '"') {
      quoted = !quoted;
    } else if (external[k] == '@' && !quoted) {
      domain = k;
    }
  }
  for (; i < domain; ++i) {
    if (external[i] == '\\' && i + 1 < domain) {
      result += external[++i];
    } else if (external[i] != '"') {
      result += external[i];
    }
  }
  result += external.substr(domain);
  return result;
}

ExtensionSplit split_extension(std::string_view local_part, std::string_view delimiters, OwnerRequest owner_request) {
  ExtensionSplit result{.user = local_part, .extension = std::nullopt};
  if (delimiters.empty() || is_never_split(local_part)) { return result; }
  const std::size_t split = local_part.find_first_of(delimiters);
  if (split == std::string_view::npos || split == 0) { return result; }
  if (local_part[split] == '-' && owner_request == OwnerRequest::special &&
      (text::istarts_with(local_part, "owner-") || text::iends_with(local_part, "-request"))) {
    return result;
  }
  result.user = local_part.substr(0, split);
  result.extension = local_part.substr(split + 1);
  result.delimiter = local_part[split];
  return result;
}

std::optional<std::string> strip_extension(std::string_view internal, std::string_view delimiters) {
  const std::size_t at = internal.rfind('@');
  const ExtensionSplit split = split_extension(internal.substr(0, at), delimiters);
  if (!split.extension) { return std::nullopt; }
  std::string result(split.user);
  if (at != std::string_view::npos) { result += internal.substr(at); }
  return result;
}

std::string fold_case(std::string_view s, Utf8 utf8) {
  if (utf8 == Utf8::forbid || text::is_ascii(s) || !text::is_utf8(s) || s.size() > (1U << 20) ||
      case_map() == nullptr) {
    return text::to_lower(s);
  }
  // Full case folding makes a character at most three times as long (in octets).
  std::string result(s.size() * 3, '\0');
  UErrorCode error = U_ZERO_ERROR;
  const std::int32_t length = icu()->fold_case(case_map(), result.data(), static_cast<std::int32_t>(result.size()),
                                               s.data(), static_cast<std::int32_t>(s.size()), &error);
  if (U_FAILURE(error) || length < 0 || static_cast<std::size_t>(length) > result.size()) { return text::to_lower(s); }
  result.resize(static_cast<std::size_t>(length));
  return result;
}

}  // namespace stagepost::mail
