// See table_source.hpp.
#include "maps/table_source.hpp"

#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "maps/logical_lines.hpp"

namespace stagepost::maps {
namespace {

constexpr std::string_view kIgnoring = " -- ignoring this line";

/// One token of an address list: a word carries its decoded text, the rest its text as written.
struct Token {
  enum class Kind : std::uint8_t { atom, quoted, comment, literal, special };
  Kind kind;
  std::string text;
};

bool is_special(char c) { return std::string_view("<>@,;:.|!%").contains(c); }
bool ends_atom(char c) { return text::is_space(c) || is_special(c) || std::string_view("()[]\"").contains(c); }

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view input) : input_(input) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    while (position_ < input_.size()) {
      const char c = input_[position_];
      if (text::is_space(c)) {
        ++position_;
      } else if (c == '"') {
        tokens.push_back(quoted());
      } else if (c == '(') {
        tokens.push_back(comment());
      } else if (c == '[') {
        tokens.push_back(literal());
      } else if (is_special(c) || c == ')' || c == ']') {
        tokens.push_back({Token::Kind::special, std::string(1, c)});
        ++position_;
      } else {
        Token word = atom();
        // A lone backslash at the end is no word.
        if (!word.text.empty()) { tokens.push_back(std::move(word)); }
      }
    }
    return tokens;
  }

 private:
  Token quoted() {
    Token token{Token::Kind::quoted, {}};
    for (++position_; position_ < input_.size(); ++position_) {
      if (input_[position_] == '"') {
        ++position_;
        break;
      }
      if (input_[position_] == '\\' && ++position_ == input_.size()) { break; }
      token.text.push_back(input_[position_]);
    }
    return token;
  }

  Token comment() {
    Token token{Token::Kind::comment, {}};
    std::size_t depth = 0;
    while (position_ < input_.size()) {
      const char c = input_[position_++];
      token.text.push_back(c);
      if (c == '\\' && position_ < input_.size()) {
        token.text.push_back(input_[position_++]);
      } else if (c == '(') {
        ++depth;
      } else if (c == ')' && --depth == 0) {
        break;
      }
    }
    return token;
  }

  Token literal() {
    Token token{Token::Kind::literal, {}};
    while (position_ < input_.size()) {
      const char c = input_[position_++];
      if (c == '\\') {
        if (position_ < input_.size()) {
          token.text.push_back(c);
          token.text.push_back(input_[position_++]);
        }
        continue;
      }
      if (c == ']') { break; }
      token.text.push_back(c);
    }
    token.text.push_back(']');
    return token;
  }

  Token atom() {
    // A backslash takes the next character as it is; one that would end the word has to be written back in quotes.
    Token token{Token::Kind::atom, {}};
    while (position_ < input_.size() && !ends_atom(input_[position_])) {
      if (input_[position_] == '\\') {
        if (++position_ == input_.size()) { break; }
        if (ends_atom(input_[position_]) || input_[position_] == '\\') { token.kind = Token::Kind::quoted; }
      }
      token.text.push_back(input_[position_++]);
    }
    return token;
  }

  std::string_view input_;
  std::size_t position_ = 0;
};

enum class Quotes : std::uint8_t { drop, keep };

std::string write_tokens(const std::vector<Token>& tokens, Quotes quotes) {
  std::string out;
  const Token* previous = nullptr;
  for (const Token& token : tokens) {
    const bool after_word = previous != nullptr && previous->kind != Token::Kind::special;
    if (after_word && (token.kind != Token::Kind::special || token.text == "<")) { out.push_back(' '); }
    if (token.kind == Token::Kind::quoted && quotes == Quotes::keep) {
      out.push_back('"');
      for (const char c : token.text) {
        if (c == '"' || c == '\\') { out.push_back('\\'); }
        out.push_back(c);
      }
      out.push_back('"');
    } else {
      out += token.text;
    }
    if (token.kind == Token::Kind::special && token.text == ",") { out.push_back(' '); }
    previous = &token;
  }
  return out;
}

SourceProblem need_pair() { return {.text = "need name:value pair"}; }

}  // namespace

std::expected<SourceEntry, SourceProblem> parse_table_line(std::string_view line) {
  if (line.contains('\0')) {
    return std::unexpected(SourceProblem{.text = "expected format: key whitespace value", .needs_suffix = true});
  }
  bool in_quotes = false;
  std::size_t end = 0;
  for (; end < line.size(); ++end) {
    const char c = line[end];
    if (c == '\\' && end + 1 < line.size()) {
      ++end;
    } else if (c == '"') {
      in_quotes = !in_quotes;
    } else if (!in_quotes && text::is_space(c)) {
      break;
    }
  }
  if (in_quotes) {
    return std::unexpected(SourceProblem{
        .text = fmt::format("unbalanced '\"' in '{}' -- ignoring this line", printable(text::trim_end(line)))});
  }
  SourceEntry entry{.key = std::string(line.substr(0, end)), .value = std::string(text::trim(line.substr(end)))};
  if (entry.key.empty() || entry.value.empty()) {
    return std::unexpected(SourceProblem{.text = "expected format: key whitespace value", .needs_suffix = true});
  }
  return entry;
}

std::expected<SourceEntry, SourceProblem> parse_alias_line(std::string_view line) {
  const std::vector<Token> tokens = Tokenizer(line).run();
  std::size_t colon = 0;
  while (colon < tokens.size() && !(tokens[colon].kind == Token::Kind::special && tokens[colon].text == ":")) {
    if (tokens[colon].kind == Token::Kind::special && tokens[colon].text == ",") {
      return std::unexpected(need_pair());
    }
    ++colon;
  }
  if (colon == 0 || colon + 1 >= tokens.size() || line.contains('\0')) { return std::unexpected(need_pair()); }
  const auto split = tokens.begin() + static_cast<std::ptrdiff_t>(colon);
  const std::vector<Token> name(tokens.begin(), split);
  for (const Token& token : name) {
    if (token.kind == Token::Kind::special && token.text == "@") {
      return std::unexpected(SourceProblem{.text = "name must be local"});
    }
  }
  SourceEntry entry{.key = write_tokens(name, Quotes::drop),
                    .value = write_tokens(std::vector<Token>(split + 1, tokens.end()), Quotes::keep)};
  if (entry.key.empty() || entry.value.empty()) { return std::unexpected(need_pair()); }
  return entry;
}

Result<> parse_source(std::string_view name, std::string_view source, SourceFormat format,
                      IgnoringSuffix ignoring_suffix, const OpenContext& context,
                      const std::function<Result<>(SourceEntry entry)>& take) {
  LogicalLines lines(source);
  for (;;) {
    const std::optional<LogicalLine> line = lines.next();
    if (lines.orphan()) {
      context.warning(
          fmt::format("{}: logical line must not start with whitespace: \"{}\"", name, printable(*lines.orphan())));
    }
    if (!line) { return {}; }
    const auto warn = [&](std::string_view text) {
      context.warning(fmt::format("{}, line {}: {}", name, line->line_number, text));
    };
    if (context.utf8 == Utf8::check && !text::is_utf8(line->text)) {
      warn(fmt::format("non-UTF-8 input \"{}\"{}", printable(line->text), kIgnoring));
      continue;
    }
    auto entry = format == SourceFormat::postmap ? parse_table_line(line->text) : parse_alias_line(line->text);
    if (!entry) {
      const bool suffix = entry.error().needs_suffix && ignoring_suffix == IgnoringSuffix::yes;
      warn(entry.error().text + std::string(suffix ? kIgnoring : std::string_view{}));
      continue;
    }
    if (format == SourceFormat::postmap && entry->key.ends_with(':')) {
      warn("record is in \"key: value\" format; is this an alias file?");
    }
    entry->line_number = line->line_number;
    SP_TRY(take(std::move(*entry)));
  }
}

}  // namespace stagepost::maps
