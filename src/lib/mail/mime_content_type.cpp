// See mime_content_type.hpp.
#include "mail/mime_content_type.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"

namespace stagepost::mail {
namespace {

constexpr std::size_t kBoundaries = 8;

/// Words of a structured field: tokens, quoted strings, and the separators ; / = as words of one octet.
class FieldScanner {
 public:
  explicit FieldScanner(std::string_view s) : s_(s) {}

  struct Word {
    std::string text = {};
    bool separator = false;
    [[nodiscard]] bool is(char c) const { return separator && text.front() == c; }
  };

  /// False at the end.
  bool next(Word& word) {
    skip_space();
    if (pos_ >= s_.size()) { return false; }
    word = {};
    const char c = s_[pos_];
    if (c == ';' || c == '/' || c == '=') {
      word.text = c;
      word.separator = true;
      ++pos_;
    } else if (c == '"') {
      quoted(word.text);
    } else {
      const std::size_t end = s_.find_first_of(" \t\r\n;/=\"(", pos_);
      word.text = s_.substr(pos_, end - pos_);
      pos_ = end == std::string_view::npos ? s_.size() : end;
    }
    return true;
  }

  /// A parameter's value: may hold '/' and '=' without quotes, as many mailers write it.
  bool value(std::string& out) {
    skip_space();
    if (pos_ >= s_.size()) { return false; }
    if (s_[pos_] == '"') {
      quoted(out);
      return true;
    }
    const std::size_t end = s_.find_first_of(" \t\r\n;\"(", pos_);
    out = s_.substr(pos_, end - pos_);
    pos_ = end == std::string_view::npos ? s_.size() : end;
    return true;
  }

 private:
  void skip_space() {
    while (pos_ < s_.size()) {
      if (text::is_space(s_[pos_])) {
        ++pos_;
      } else if (s_[pos_] == '(') {
        comment();
      } else {
        return;
      }
    }
  }

  void comment() {
    std::size_t depth = 0;
    while (pos_ < s_.size()) {
      const char c = s_[pos_++];
      if (c == '\\' && pos_ < s_.size()) {
        ++pos_;
      } else if (c == '(') {
        ++depth;
      } else if (c == ')' && --depth == 0) {
        return;
      }
    }
  }

  void quoted(std::string& out) {
    for (++pos_; pos_ < s_.size() && s_[pos_] != '"'; ++pos_) {
      if (s_[pos_] == '\\' && pos_ + 1 < s_.size()) { ++pos_; }
      if (s_[pos_] != '\n' && s_[pos_] != '\r') { out += s_[pos_]; }
    }
    if (pos_ < s_.size()) { ++pos_; }
  }

  std::string_view s_;
  std::size_t pos_ = 0;
};

}  // namespace

ContentType parse_content_type(std::string_view body, std::size_t boundary_limit) {
  ContentType result;
  FieldScanner scanner(body);
  FieldScanner::Word type;
  FieldScanner::Word slash;
  FieldScanner::Word subtype;
  if (!scanner.next(type) || !scanner.next(slash) || !slash.is('/') || !scanner.next(subtype)) { return result; }
  result.is_multipart = text::iequals(type.text, "multipart");
  result.is_message = text::iequals(type.text, "message");
  result.is_digest = result.is_multipart && text::iequals(subtype.text, "digest");
  result.holds_message =
      result.is_message && (text::iequals(subtype.text, "rfc822") || text::iequals(subtype.text, "global"));
  if (!result.is_multipart) { return result; }
  bool at_parameter = false;
  FieldScanner::Word word;
  while (scanner.next(word)) {
    if (word.is(';')) {
      at_parameter = true;
      continue;
    }
    const bool is_boundary = at_parameter && !word.separator && text::iequals(word.text, "boundary");
    at_parameter = false;
    if (!is_boundary || !scanner.next(word)) { continue; }
    if (!word.is('=')) {
      at_parameter = word.is(';');
      continue;
    }
    std::string boundary;
    if (scanner.value(boundary) && !boundary.empty() && result.boundaries.size() < kBoundaries) {
      boundary.resize(std::min(boundary.size(), boundary_limit));
      result.boundaries.push_back(std::move(boundary));
    }
  }
  return result;
}

std::string first_token(std::string_view body) {
  FieldScanner scanner(body);
  FieldScanner::Word word;
  return scanner.next(word) ? word.text : std::string();
}

}  // namespace stagepost::mail
