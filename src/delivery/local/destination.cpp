#include "delivery/local/destination.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.hpp"
#include "mail/address.hpp"

namespace stagepost::local {
namespace {

constexpr std::string_view kInclude = ":include:";

/// One word of the list, or what stands in <>: as written for the parts that decide its kind, unquoted for its use.
struct Word {
  std::string unquoted;
  /// Where the last '@' outside quotes is in `unquoted`; npos: none. A quoted one belongs to the local-part.
  std::size_t at = std::string::npos;
  bool angle = false;  ///< it stood in <>
  [[nodiscard]] bool empty() const { return unquoted.empty() && !angle; }
};

/// The words of one comma-separated item.
class Item {
 public:
  void take(Word word) {
    if (word.empty()) { return; }
    has_angle_ = has_angle_ || word.angle;
    // RFC 822 allows "user @ domain".
    const bool can_join = !word.angle && !words_.empty() && !words_.back().angle;
    const bool joins = can_join && word.at == 0 && words_.back().at == std::string::npos;
    const bool joined =
        can_join && word.at == std::string::npos && words_.back().at + 1 == words_.back().unquoted.size();
    if (joins) {
      words_.back().at = words_.back().unquoted.size();
      words_.back().unquoted += word.unquoted;
    } else if (joined) {
      words_.back().unquoted += word.unquoted;
    } else {
      words_.push_back(std::move(word));
    }
  }
  /// They were the name of a group ("friends: a, b;").
  void drop() { words_.clear(); }
  void finish(std::vector<Destination>& found) {
    for (Word& word : words_) {
      // "Full Name <user@domain>": the name is no destination.
      if (!has_angle_ || word.angle) { append(found, word); }
    }
    words_.clear();
    has_angle_ = false;
  }

 private:
  static void append(std::vector<Destination>& found, const Word& word) {
    using Kind = Destination::Kind;
    const std::string_view text = word.unquoted;
    if (text.empty()) { return; }
    if (!word.angle && text.front() == '|') {
      found.push_back({Kind::command, std::string(text.substr(1))});
    } else if (!word.angle && text.front() == '/') {
      found.push_back({Kind::file, std::string(text)});
    } else if (!word.angle && text.front() == '~') {
      found.push_back({Kind::home, std::string(text)});
    } else if (!word.angle && text::istarts_with(text, kInclude)) {
      found.push_back({Kind::include, std::string(text.substr(kInclude.size()))});
    } else if (text.front() == '@') {
      // A source route, or a domain alone: the rewriting service knows these.
      found.push_back({Kind::address, std::string(text)});
    } else {
      found.push_back({Kind::address, external_form(word)});
    }
  }

  static std::string external_form(const Word& word) {
    if (word.at != std::string::npos) { return mail::quote_822_local(word.unquoted); }
    // Quoting splits at the last '@'; without a domain, all of it is local-part, whatever was quoted.
    std::string quoted = mail::quote_822_local(word.unquoted + "@");
    quoted.pop_back();
    return quoted;
  }

  std::vector<Word> words_;
  bool has_angle_ = false;
};

class Parser {
 public:
  explicit Parser(std::string_view value) : value_(value) {}

  std::vector<Destination> run() {
    while (position_ < value_.size()) { step(value_[position_++]); }
    end_item();
    return std::move(found_);
  }

 private:
  void step(char c) {
    if (comment_depth_ > 0) {
      in_comment(c);
    } else if (quoted_) {
      in_quotes(c);
    } else if (c == '"') {
      quoted_ = true;
    } else if (c == '\\') {
      take_escaped();
    } else if (c == '(') {
      comment_depth_ = 1;
    } else if (c == '<' && !word_.angle) {
      end_word();
      word_.angle = true;
    } else if (c == '>') {
      end_word();
    } else if (c == ',' && !(word_.angle && word_.unquoted.starts_with('@'))) {  // a route has commas
      end_item();
    } else if (c == ';' && in_group_) {
      end_item();
      in_group_ = false;
    } else if (c == ':' && names_group()) {
      word_ = {};
      item_.drop();
      in_group_ = true;
    } else if (text::is_space(c)) {
      if (!word_.angle) { end_word(); }
    } else {
      if (c == '@') { word_.at = word_.unquoted.size(); }
      word_.unquoted += c;
    }
  }
  /// Is a ':' here the end of a group's name? Not in ":include:", a path, a command or a domain literal.
  [[nodiscard]] bool names_group() const {
    const std::string_view word = word_.unquoted;
    const std::string_view special = ":/|~";
    const bool has_special_start = word.empty() || special.contains(word.front());
    return !in_group_ && !word_.angle && !has_special_start && !word.contains('[') && !word.contains('@');
  }
  void in_comment(char c) {
    if (c == '\\') {
      ++position_;
    } else if (c == '(') {
      ++comment_depth_;
    } else if (c == ')') {
      --comment_depth_;
    }
  }
  void in_quotes(char c) {
    if (c == '"') {
      quoted_ = false;
    } else if (c == '\\') {
      take_escaped();
    } else {
      word_.unquoted += c;
    }
  }
  void take_escaped() {
    if (position_ < value_.size()) { word_.unquoted += value_[position_++]; }
  }
  void end_word() { item_.take(std::exchange(word_, {})); }
  void end_item() {
    end_word();
    item_.finish(found_);
  }

  std::string_view value_;
  std::size_t position_ = 0;
  std::size_t comment_depth_ = 0;
  bool quoted_ = false;
  bool in_group_ = false;
  Word word_;
  Item item_;
  std::vector<Destination> found_;
};

void append(std::vector<Destination>& all, std::vector<Destination> more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

std::vector<Destination> parse_destinations(std::string_view value) { return Parser(value).run(); }

void DestinationLines::end_line(std::vector<Destination>& found) {
  if (!line_.starts_with('#')) { append(found, parse_destinations(line_)); }
  line_.clear();
}

std::vector<Destination> DestinationLines::feed(std::string_view bytes) {
  std::vector<Destination> found;
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::size_t room = line_octets_ - line_.size();
    const std::size_t take = std::min({newline, bytes.size(), room});
    line_ += bytes.substr(0, take);
    bytes.remove_prefix(take);
    if (!bytes.empty() && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      end_line(found);
    } else if (line_.size() >= line_octets_) {
      end_line(found);
    }
  }
  return found;
}

std::vector<Destination> DestinationLines::finish() {
  std::vector<Destination> found;
  if (!line_.empty()) { end_line(found); }
  return found;
}

}  // namespace stagepost::local
