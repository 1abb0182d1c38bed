// See sql_text.hpp.
#include "sql_text.hpp"

#include <utility>

#include <fmt/format.h>

namespace stagepost::maps::sqlite {
namespace {

constexpr std::size_t kParameterLimit = 100;

/// Whether something of the key is put in: a % that is no %%.
bool has_expansion(std::string_view text) {
  for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 2)) {
    if (at + 1 >= text.size() || text[at + 1] != '%') { return true; }
  }
  return false;
}

std::string halved_percents(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    plain.push_back(text[i]);
    if (text[i] == '%' && i + 1 < text.size() && text[i + 1] == '%') { ++i; }
  }
  return plain;
}

class Binder {
 public:
  Binder(std::string_view query, std::string_view source) : rest_(query), source_(source) {}

  Result<Statement> run() {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == '\'' || c == '"' || c == '`') {
        SP_TRY(quoted(c));
      } else if (c == '[') {
        SP_TRY(take(rest_.find(']'), 1, "["));
      } else if (rest_.starts_with("--")) {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
        statement_.sql.push_back(' ');
      } else if (rest_.starts_with("/*")) {
        const std::size_t end = rest_.find("*/", 2);
        if (end == std::string_view::npos) { return unterminated("/*"); }
        rest_.remove_prefix(end + 2);
        statement_.sql.push_back(' ');
      } else if (c == '%' && !rest_.starts_with("%%")) {
        const std::string_view expansion = rest_.substr(0, 2);
        rest_.remove_prefix(expansion.size());
        SP_TRY(bind(expansion));
      } else {
        rest_.remove_prefix(rest_.starts_with("%%") ? 2 : 1);
        statement_.sql.push_back(c);
      }
    }
    return std::move(statement_);
  }

 private:
  std::unexpected<Error> unterminated(std::string_view what) const {
    return failure(fmt::format("{}: query: {} without an end", source_, what));
  }

  /// Copies up to and with the character at `end`.
  Result<> take(std::size_t end, std::size_t length, std::string_view what) {
    if (end == std::string_view::npos) { return unterminated(what); }
    statement_.sql += halved_percents(rest_.substr(0, end + length));
    rest_.remove_prefix(end + length);
    return {};
  }

  Result<> quoted(char quote) {
    std::string text;
    std::size_t at = 1;
    for (;; ++at) {
      if (at >= rest_.size()) { return unterminated(std::string_view(&quote, 1)); }
      if (rest_[at] == quote) {
        if (at + 1 >= rest_.size() || rest_[at + 1] != quote) { break; }
        ++at;
      }
      text.push_back(rest_[at]);
    }
    if (quote == '`' || !has_expansion(text)) { return take(at, 1, {}); }
    rest_.remove_prefix(at + 1);
    statement_.has_double_quotes = statement_.has_double_quotes || quote == '"';
    return bind(text);
  }

  Result<> bind(std::string_view text) {
    if (statement_.parameters.size() >= kParameterLimit) {
      return failure(fmt::format("{}: query has more than {} parts of the key", source_, kParameterLimit));
    }
    SP_TRY(auto parameter, Template::parse(text, source_, "query"));
    statement_.parameters.push_back(std::move(parameter));
    statement_.sql += fmt::format("?{}", statement_.parameters.size());
    return {};
  }

  std::string_view rest_;
  std::string_view source_;
  Statement statement_;
};

}  // namespace

Result<Statement> bind_template(std::string_view query, std::string_view source) { return Binder(query, source).run(); }

}  // namespace stagepost::maps::sqlite
