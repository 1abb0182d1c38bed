// See address_list.hpp. Two passes, both linear: tokens, then elements (mailboxes, group starts and ends).
#include "mail/address_list.hpp"

#include <cstdint>

#include "base/text.hpp"
#include "mail/address.hpp"
#include "mail/header.hpp"

namespace stagepost::mail {
namespace {

/// Postfix breaks a list before an element that would make the line longer than this (the tab is not counted).
constexpr std::size_t kLineOctets = 69;

enum class Kind : std::uint8_t { word, quoted, comment, literal, special };

struct Token {
  Kind kind = Kind::word;
  std::string_view text = {};
  bool space_before = false;
  /// For '<': index of the '>' token that closes it; for ':': a ';' follows. 0 if none.
  std::size_t match = 0;
  [[nodiscard]] bool is(char c) const { return kind == Kind::special && text.front() == c; }
};

constexpr bool is_special(char c) {
  return c == '<' || c == '>' || c == ',' || c == ';' || c == ':' || c == '@' || c == '.';
}

/// Index after the quoted string, comment or literal that begins at `start`.
std::size_t skip_quoted(std::string_view s, std::size_t start) {
  for (std::size_t i = start + 1; i < s.size(); ++i) {
    if (s[i] == '\\') {
      ++i;
    } else if (s[i] == '"') {
      return i + 1;
    }
  }
  return s.size();
}

std::size_t skip_comment(std::string_view s, std::size_t start) {
  std::size_t depth = 0;
  for (std::size_t i = start; i < s.size(); ++i) {
    if (s[i] == '\\') {
      ++i;
    } else if (s[i] == '(') {
      ++depth;
    } else if (s[i] == ')' && --depth == 0) {
      return i + 1;
    }
  }
  return s.size();
}

std::size_t skip_literal(std::string_view s, std::size_t start) {
  const std::size_t end = s.find(']', start);
  return end == std::string_view::npos ? s.size() : end + 1;
}

std::size_t skip_word(std::string_view s, std::size_t start) {
  std::size_t i = start;
  while (i < s.size() && !text::is_space(s[i]) && !is_special(s[i]) && s[i] != '"' && s[i] != '(' && s[i] != '[') {
    i += s[i] == '\\' && i + 1 < s.size() ? 2 : 1;
  }
  return i;
}

std::vector<Token> tokenise(std::string_view s, std::size_t limit, bool& truncated) {
  std::vector<Token> tokens;
  std::size_t pos = 0;
  bool space = false;
  while (pos < s.size()) {
    const char c = s[pos];
    if (text::is_space(c)) {
      space = true;
      ++pos;
      continue;
    }
    if (tokens.size() >= limit) {
      truncated = true;
      break;
    }
    Token token{.space_before = space};
    std::size_t end = pos + 1;
    if (c == '"') {
      token.kind = Kind::quoted;
      end = skip_quoted(s, pos);
    } else if (c == '(') {
      token.kind = Kind::comment;
      end = skip_comment(s, pos);
    } else if (c == '[') {
      token.kind = Kind::literal;
      end = skip_literal(s, pos);
    } else if (is_special(c)) {
      token.kind = Kind::special;
    } else {
      end = skip_word(s, pos);
    }
    token.text = s.substr(pos, end - pos);
    tokens.push_back(token);
    space = false;
    pos = end;
  }
  // From the end: does a ';' or a '>' follow?
  std::size_t semicolon = 0;
  std::size_t close = 0;
  for (std::size_t i = tokens.size(); i-- > 0;) {
    Token& token = tokens[i];
    if (token.is(';')) {
      semicolon = i;
    } else if (token.is('>')) {
      close = i;
    } else if (token.is(':')) {
      token.match = semicolon;
    } else if (token.is('<')) {
      token.match = close;
      close = 0;  // "<a <b>": the inner one
    }
  }
  return tokens;
}

/// What a list consists of.
struct Element {
  enum class Type : std::uint8_t { mailbox, empty, group };
  Type type = Type::empty;
  std::string_view separator_before = {};  // "," or "" (nothing, or the group's name, stands before)
  std::string before = {};                 // "Name <" or ""
  std::string address = {};
  std::string after = {};  // ">", comments
  std::string display_name = {};
  bool group_end = false;  // ';' follows
};

class ListParser {
 public:
  explicit ListParser(const std::vector<Token>& tokens) : tokens_(tokens) {}

  std::vector<Element> parse() {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& token = tokens_[i];
      if (token.is(',')) {
        flush(i);
        if (!element_since_comma_) { elements_.push_back({}); }
        element_since_comma_ = false;
        start_ = i + 1;
      } else if (token.is(';')) {
        flush(i);
        if (elements_.empty() || !element_since_comma_) { elements_.push_back({}); }
        elements_.back().group_end = true;
        element_since_comma_ = true;
        start_ = i + 1;
      } else if (token.is(':') && token.match != 0 && !in_route(i)) {
        elements_.push_back({.type = Element::Type::group, .before = phrase(start_, i) + ":"});
        element_since_comma_ = true;
        start_ = i + 1;
      } else if (token.is('<') && token.match != 0) {
        angle(i);
        i = token.match;
        // Comments that follow belong to the mailbox.
        while (i + 1 < tokens_.size() && tokens_[i + 1].kind == Kind::comment) {
          elements_.back().after += tokens_[++i].text;
        }
        start_ = i + 1;
      }
    }
    flush(tokens_.size());
    return std::move(elements_);
  }

 private:
  /// "@a:b@c": the ':' of an obsolete route outside brackets.
  [[nodiscard]] bool in_route(std::size_t colon) const { return start_ < colon && tokens_[start_].is('@'); }

  /// Tokens as written, white space as one space.
  [[nodiscard]] std::string phrase(std::size_t from, std::size_t to) const {
    std::string result;
    for (std::size_t i = from; i < to; ++i) {
      if (!result.empty() && (tokens_[i].space_before || tokens_[i].kind == Kind::quoted)) { result += ' '; }
      result += tokens_[i].text;
    }
    return result;
  }

  [[nodiscard]] std::string plain_phrase(std::size_t from, std::size_t to) const {
    std::string result;
    for (std::size_t i = from; i < to; ++i) {
      const Token& token = tokens_[i];
      if (token.kind == Kind::comment) { continue; }
      if (!result.empty() && token.space_before) { result += ' '; }
      result += token.kind == Kind::quoted ? unquote_822_local(token.text) : std::string(token.text);
    }
    return result;
  }

  void angle(std::size_t open) {
    Element element{.type = Element::Type::mailbox};
    element.before = phrase(start_, open);
    element.display_name = plain_phrase(start_, open);
    element.before += element.before.empty() ? "<" : " <";
    for (std::size_t i = open + 1; i < tokens_[open].match; ++i) {
      if (tokens_[i].kind == Kind::comment) { continue; }
      // Words that only white space separates are one address that needs quotes.
      if (tokens_[i].space_before && !element.address.empty() && !joins(i)) { element.address += "\\ "; }
      element.address += tokens_[i].text;
    }
    element.after = ">";
    elements_.push_back(std::move(element));
    element_since_comma_ = true;
  }

  [[nodiscard]] static bool glues(const Token& token) { return token.is('.') || token.is('@') || token.is(':'); }
  /// Is token i part of the same address as the one before it?
  [[nodiscard]] bool joins(std::size_t i) const { return glues(tokens_[i]) || glues(tokens_[i - 1]); }

  /// Bare addresses ("user@host (Name)") between start_ and `end`; a space between words begins a new one.
  void flush(std::size_t end) {
    Element element{.type = Element::Type::mailbox};
    std::size_t previous = end;
    std::string comments;
    for (std::size_t i = start_; i < end; ++i) {
      const Token& token = tokens_[i];
      if (token.kind == Kind::comment) {
        comments += ' ';
        comments += token.text;
        if (element.display_name.empty() && token.text.size() > 2 && token.text.ends_with(')')) {
          element.display_name = unquote_822_local(text::trim(token.text.substr(1, token.text.size() - 2)));
        }
        continue;
      }
      const bool same =
          previous == end || glues(token) || glues(tokens_[previous]) || (!token.space_before && previous + 1 == i);
      if (!same) {
        element.after = std::move(comments);
        comments.clear();
        elements_.push_back(std::move(element));
        element = Element{.type = Element::Type::mailbox};
        element_since_comma_ = true;
      }
      element.address += token.text;
      // An unterminated quoted string or literal is closed, so that what follows isn't swallowed.
      if (token.kind == Kind::quoted && (token.text.size() == 1 || !token.text.ends_with('"'))) {
        element.address += '"';
      }
      previous = i;
    }
    if (!element.address.empty() || !comments.empty()) {
      if (element.address.empty() && !comments.empty()) { comments.erase(0, 1); }
      element.after = std::move(comments);
      elements_.push_back(std::move(element));
      element_since_comma_ = true;
    }
    start_ = end;
  }

  const std::vector<Token>& tokens_;
  std::vector<Element> elements_;
  std::size_t start_ = 0;
  bool element_since_comma_ = false;
};

/// Elements with ", " between them, broken into lines.
class ListWriter {
 public:
  explicit ListWriter(std::string_view name) : out_(name), column_(name.size()) {}

  void add(const Element& element) {
    unit_ += unit_.empty() ? "" : " ";
    unit_ += element.before;
    unit_ += element.address;
    unit_ += element.after;
    unit_ += element.group_end ? ";" : "";
  }
  void comma() {
    unit_ += ',';
    write_unit();
  }
  std::string finish() {
    write_unit();
    return std::move(out_);
  }

 private:
  void write_unit() {
    if (unit_.empty()) { return; }
    if (!first_ && column_ + 1 + unit_.size() > kLineOctets) {
      out_ += "\n\t";
      column_ = 0;
    } else {
      out_ += ' ';
      ++column_;
    }
    out_ += unit_;
    column_ += unit_.size();
    unit_.clear();
    first_ = false;
  }

  std::string out_;
  std::string unit_;
  std::size_t column_;
  bool first_ = true;
};

}  // namespace

std::vector<ListedAddress> extract_addresses(std::string_view body, const AddressListLimits& limits) {
  bool truncated = false;
  const auto tokens = tokenise(body, limits.tokens, truncated);
  std::vector<ListedAddress> result;
  for (Element& element : ListParser(tokens).parse()) {
    if (element.type == Element::Type::mailbox && !element.address.empty()) {
      result.push_back({.address = std::move(element.address), .display_name = std::move(element.display_name)});
    }
  }
  return result;
}

RewrittenField rewrite_header_addresses(std::string_view field, const AddressRewriter& rewrite,
                                        const AddressListLimits& limits) {
  RewrittenField result;
  const auto parsed = parse_header_field(field);
  if (!parsed) {
    result.field = field;
    return result;
  }
  const auto tokens = tokenise(parsed->body, limits.tokens, result.truncated);
  auto elements = ListParser(tokens).parse();
  result.changed = result.truncated;
  for (Element& element : elements) {
    if (element.type == Element::Type::mailbox && !element.address.empty()) {
      std::string replacement = rewrite(element.address);
      result.changed = result.changed || replacement != element.address;
      element.address = std::move(replacement);
    }
  }
  if (!result.changed) {
    result.field = field;
    return result;
  }
  ListWriter writer(std::string(parsed->name) + ":");
  for (std::size_t i = 0; i < elements.size(); ++i) {
    writer.add(elements[i]);
    // A group's name and its first member are one unit.
    if (i + 1 < elements.size() && elements[i].type != Element::Type::group) { writer.comma(); }
  }
  result.field = writer.finish();
  return result;
}

std::string format_mailbox(std::string_view external, std::string_view display_name, FromFormat format) {
  std::string result;
  if (display_name.empty()) {
    result = external;
    return result;
  }
  const auto quote = [&result](std::string_view text, std::string_view escaped) {
    for (const char c : text) {
      if (escaped.find(c) != std::string_view::npos) { result += '\\'; }
      result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  };
  if (format == FromFormat::obsolete) {
    result = external;
    result += " (";
    quote(display_name, "()\\");
    result += ')';
    return result;
  }
  bool atoms = true;
  for (const char c : display_name) {
    atoms = atoms && (c == ' ' || (static_cast<unsigned char>(c) > ' ' && c != 0x7f &&
                                   std::string_view("()<>[]:;@\\,.\"").find(c) == std::string_view::npos));
  }
  if (atoms) {
    result = display_name;
  } else {
    result += '"';
    quote(display_name, "\"\\");
    result += '"';
  }
  result += " <";
  result += external;
  result += '>';
  return result;
}

}  // namespace stagepost::mail
