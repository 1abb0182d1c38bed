// See query.hpp.
#include "query.hpp"

#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps {

KeyParts::KeyParts(std::string_view key) : key_(key), user_(key) {
  const std::size_t at = key.rfind('@');
  if (at == std::string_view::npos) { return; }
  qualified_ = true;
  user_ = key.substr(0, at);
  domain_ = key.substr(at + 1);
  std::string_view rest = domain_;
  while (!rest.empty() && label_count_ < labels_.size()) {
    const std::size_t dot = rest.rfind('.');
    const std::string_view label = dot == std::string_view::npos ? rest : rest.substr(dot + 1);
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(0, dot);
    if (!label.empty()) { labels_[label_count_++] = label; }
  }
}

std::optional<std::string_view> KeyParts::user() const {
  if (user_.empty()) { return std::nullopt; }
  return user_;
}

std::optional<std::string_view> KeyParts::domain() const {
  if (domain_.empty()) { return std::nullopt; }
  return domain_;
}

std::optional<std::string_view> KeyParts::label(std::size_t place) const {
  if (place == 0 || place > label_count_) { return std::nullopt; }
  return labels_[place - 1];
}

namespace {

/// `letter` is lower-case or a digit.
std::optional<std::string_view> part_of(const KeyParts& parts, char letter) {
  switch (letter) {
    case 's':
      return parts.key().empty() ? std::nullopt : std::optional(parts.key());
    case 'u':
      return parts.user();
    case 'd':
      return parts.domain();
    default:
      return parts.label(static_cast<std::size_t>(letter - '0'));
  }
}

}  // namespace

Result<Template> Template::parse(std::string_view text, std::string_view source, std::string_view setting) {
  Template parsed;
  Piece piece;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      piece.literal += text[i];
      continue;
    }
    const char letter = ++i < text.size() ? text[i] : '\0';
    if (letter == '%') {
      piece.literal += '%';
    } else if (letter != '\0' && std::string_view("sudSUD123456789").contains(letter)) {
      piece.part = letter;
      parsed.pieces_.push_back(std::exchange(piece, {}));
    } else {
      return failure(fmt::format("{}: invalid {} template: {}", source, setting, printable(text)));
    }
  }
  if (!piece.literal.empty()) { parsed.pieces_.push_back(std::move(piece)); }
  return parsed;
}

Result<std::optional<std::string>> Template::query(const KeyParts& key, const Quote& quote) const {
  // Nothing is quoted for a query that is not going to be made.
  for (const Piece& piece : pieces_) {
    if (piece.part != '\0' && !part_of(key, text::lower(piece.part))) { return std::nullopt; }
  }
  std::string made;
  for (const Piece& piece : pieces_) {
    made += piece.literal;
    if (piece.part == '\0') { continue; }
    SP_TRY(const std::string quoted, quote(*part_of(key, text::lower(piece.part))));
    made += quoted;
    if (made.size() > kValueLimit) { return failure("query is too long"); }
  }
  return made;
}

std::optional<std::string> Template::result(const KeyParts& value, const KeyParts& key) const {
  std::string made;
  for (const Piece& piece : pieces_) {
    made += piece.literal;
    if (piece.part == '\0') { continue; }
    const auto part = part_of(text::is_lower(piece.part) ? value : key, text::lower(piece.part));
    if (!part) { return std::nullopt; }
    made += *part;
  }
  return made;
}

bool Template::has_parts() const {
  for (const Piece& piece : pieces_) {
    if (piece.part != '\0') { return true; }
  }
  return false;
}

bool Template::key_suffices(const KeyParts& key) const {
  for (const Piece& piece : pieces_) {
    if (piece.part == '\0' || text::is_lower(piece.part)) { continue; }
    if (!part_of(key, text::lower(piece.part))) { return false; }
  }
  return true;
}

Result<ResultRules> ResultRules::read(const ClientSource& source, std::string_view fallback) {
  ResultRules rules;
  std::string_view setting = "result_format";
  std::string format = source.text(setting, "%s");
  if (!fallback.empty() && (format.empty() || !source.find(setting))) {
    setting = fallback;
    format = source.text(fallback);
    if (format.empty()) { format = "%s"; }
  }
  if (format.empty()) { SP_TRY(format, source.required_text(setting)); }
  SP_TRY(rules.format_, Template::parse(format, source.name(), setting));
  SP_TRY(const std::int64_t limit, source.number("expansion_limit", 0));
  rules.expansion_limit_ = static_cast<std::size_t>(limit);
  return rules;
}

Result<> ResultList::add(std::string_view value) {
  if (value.empty()) { return {}; }
  const auto formatted = rules_.format().result(KeyParts(value), key_);
  if (!formatted) { return {}; }
  ++count_;
  if (rules_.expansion_limit() > 0 && count_ > rules_.expansion_limit()) {
    return failure(fmt::format("expansion limit exceeded for key: \"{}\"", printable(key_.key())));
  }
  if (count_ > 1) { joined_ += ','; }
  joined_ += *formatted;
  if (joined_.size() > kValueLimit) { return failure("result is too long"); }
  return {};
}

Found ResultList::take() {
  if (count_ == 0) { return std::nullopt; }
  return std::exchange(joined_, {});
}

}  // namespace stagepost::maps
