#include "manual/mdoc.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::manual {
namespace {

constexpr std::size_t kWidth = 79;
constexpr std::size_t kTagColumn = 20;

/// Macros whose words appear as they are.
constexpr std::array<std::string_view, 17> kPlain{"Ar", "Cm", "Dv", "Em", "Er", "Ev", "Ic", "Li", "Lk",
                                                  "Mt", "No", "Pa", "Sx", "Sy", "Tn", "Va", "An"};
/// Macros that put something around their words or join them.
constexpr std::array<std::string_view, 14> kOther{"Fl", "Nm", "Ns", "Oc", "Oo", "Op", "Pq",
                                                  "Ql", "Sq", "Dq", "Xr", "Aq", "Bq", "Qq"};

bool is_macro(std::string_view word) {
  return std::ranges::find(kPlain, word) != kPlain.end() || std::ranges::find(kOther, word) != kOther.end();
}
bool closes(std::string_view word) { return word.size() == 1 && std::string_view(".,;:?!)]").contains(word[0]); }
bool opens(std::string_view word) { return word == "(" || word == "["; }

std::string unescape(std::string_view word) {
  std::string plain;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '\\' || i + 1 == word.size()) {
      plain += word[i];
      continue;
    }
    switch (word[++i]) {
      case '&':
        break;
      case 'e':
        plain += '\\';
        break;
      case '(':  // \(bu and the like: two letters that stand for one sign
        i = std::min(i + 2, word.size());
        break;
      default:
        plain += word[i];
    }
  }
  return plain;
}

/// The words of one macro line as running text.
class Inline {
 public:
  explicit Inline(std::string_view name) : name_(name) {}

  std::string text(std::vector<std::string> words) {
    // Punctuation at the end of the line stands behind the brackets that a macro of this line opened.
    std::vector<std::string> trailing;
    while (words.size() > 1 && closes(words.back())) {
      trailing.insert(trailing.begin(), words.back());
      words.pop_back();
    }
    std::string pending;
    std::string_view macro;
    bool macro_has_words = true;
    const auto finish_macro = [&] {
      if (macro_has_words) { return; }
      if (macro == "Nm") { add(name_); }
      if (macro == "Fl") { add("-"); }
      if (macro == "Ar") { add("file ..."); }
    };
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (is_macro(word)) {
        finish_macro();
        macro = word;
        macro_has_words = macro != "Nm" && macro != "Fl" && macro != "Ar";
        if (macro == "Ns") { joined_ = true; }
        if (macro == "Oo" || macro == "Op" || macro == "Bq") { open("["); }
        if (macro == "Aq") { open("<"); }
        if (macro == "Pq") { open("("); }
        if (macro == "Oc") { attach("]"); }
        if (macro == "Op" || macro == "Bq") { pending.insert(0, "]"); }
        if (macro == "Aq") { pending.insert(0, ">"); }
        if (macro == "Pq") { pending.insert(0, ")"); }
        continue;
      }
      if (closes(word)) {
        finish_macro();
        macro_has_words = true;
        attach(word);
        continue;
      }
      if (opens(word)) {
        open(word);
        continue;
      }
      macro_has_words = true;
      if (macro == "Fl" && word != "|") {
        add("-" + unescape(word));
      } else if (macro == "Xr" && i + 1 < words.size()) {
        add(word + "(" + words[++i] + ")");
      } else if (macro == "Ql" || macro == "Sq" || macro == "Dq" || macro == "Qq") {
        std::string quoted = unescape(word);
        while (i + 1 < words.size() && !is_macro(words[i + 1]) && !closes(words[i + 1])) {
          quoted += " " + unescape(words[++i]);
        }
        add("\"" + quoted + "\"");
      } else {
        add(unescape(word));
      }
    }
    finish_macro();
    attach(pending);
    for (const std::string& word : trailing) { attach(word); }
    return std::move(out_);
  }

 private:
  void add(std::string_view word) {
    if (!out_.empty() && !joined_) { out_ += ' '; }
    out_ += word;
    joined_ = false;
  }
  void attach(std::string_view word) {
    out_ += word;
    joined_ = false;
  }
  void open(std::string_view bracket) {
    add(bracket);
    joined_ = true;
  }

  std::string_view name_;
  std::string out_;
  bool joined_ = false;
};

class Renderer {
 public:
  Result<std::string> render(std::string_view page) {
    for (const std::string_view line : text::split_exact(page, '\n')) {
      ++line_number_;
      if (line.starts_with(".\\\"") || line.empty()) { continue; }
      if (line.front() == '.') {
        SP_TRY(macro_line(words_of(line.substr(1))));
      } else if (wanted_) {
        literal_ ? write(indent() + 4, unescape(line)) : add(unescape(line));
      }
    }
    flush();
    out_ += fmt::format("\nThe manual has the rest: man {}\n", name_);
    return std::move(out_);
  }

 private:
  struct List {
    bool tagged = false;
    bool in_item = false;
  };

  [[nodiscard]] std::size_t indent() const {
    std::size_t columns = 2;
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      if (lists_[i].in_item) { columns += i == 0 && lists_[i].tagged ? kTagColumn : 4; }
    }
    return columns;
  }

  Result<> macro_line(std::vector<std::string> words) {
    if (words.empty()) { return {}; }
    const std::string macro = words.front();
    if (macro == "Sh" || macro == "Ss") {
      words.erase(words.begin());
      heading(macro, text::join(words, " "));
      return {};
    }
    if (in_name_) {
      if (macro == "Nm" && name_.empty() && words.size() > 1) { name_ = words[1]; }
      if (macro == "Nd") {
        words.erase(words.begin());
        out_ = fmt::format("{} - {}\n", name_, text::join(words, " "));
      }
      return {};
    }
    if (!wanted_) { return {}; }
    if (macro == "Pp") {
      flush();
      blank();
    } else if (macro == "Bl") {
      flush();
      if (std::ranges::find(words, "-compact") == words.end()) { blank(); }
      lists_.push_back({.tagged = words.size() > 1 && words[1] == "-tag", .in_item = false});
    } else if (macro == "El") {
      flush();
      if (!lists_.empty()) { lists_.pop_back(); }
    } else if (macro == "It") {
      words.erase(words.begin());
      item(words);
    } else if (macro == "Bd" || macro == "Ed") {
      flush();
      literal_ = macro == "Bd";
    } else if (macro == "Dl" || macro == "D1") {
      flush();
      words.erase(words.begin());
      write(indent() + 4, Inline(name_).text(std::move(words)));
    } else if (macro == "Nm" && section_ == "SYNOPSIS") {
      flush();
      add(Inline(name_).text(std::move(words)));
    } else if (is_macro(macro)) {
      // A line that opens or closes a bracket, or joins, belongs to its neighbours.
      if (macro == "Oo") { no_space_after_ = true; }
      if (macro == "Oc" || macro == "Ns") { no_space_before_ = true; }
      const bool joins_next = words.back() == "Ns";
      add(Inline(name_).text(std::move(words)));
      if (joins_next) { no_space_before_ = true; }
      if (macro == "Oo") { no_space_before_ = true; }
    } else if (macro != "Bk" && macro != "Ek" && macro != "Sm") {
      return failure(fmt::format("line {}: macro .{} is not known here", line_number_, macro));
    }
    return {};
  }

  void heading(std::string_view macro, const std::string& title) {
    flush();
    if (macro == "Ss") {
      if (wanted_) { out_ += fmt::format("\n{}:\n", title); }
      return;
    }
    section_ = title;
    in_name_ = title == "NAME";
    wanted_ = title == "SYNOPSIS" || title == "DESCRIPTION" || title == "EXAMPLES";
    lists_.clear();
    if (wanted_) { out_ += title == "SYNOPSIS" ? "\nusage:\n" : title == "EXAMPLES" ? "\nExamples:\n" : "\n"; }
  }

  void item(std::vector<std::string> words) {
    flush();
    if (lists_.empty()) { lists_.push_back({.tagged = true, .in_item = false}); }
    List& list = lists_.back();
    list.in_item = false;
    const std::size_t before = indent();
    const std::string tag = list.tagged ? Inline(name_).text(std::move(words)) : "*";
    list.in_item = true;
    const std::size_t column = indent() - before;
    if (tag.size() < column) {
      hanging_ = std::string(before, ' ') + tag;
      hanging_.resize(before + column, ' ');
    } else {
      write(before, tag);
    }
  }

  void add(std::string_view piece) {
    const bool attached = no_space_before_ || (!piece.empty() && closes(piece.substr(0, 1)) && piece.size() == 1);
    if (!paragraph_.empty() && !attached) { paragraph_ += ' '; }
    no_space_before_ = std::exchange(no_space_after_, false);
    paragraph_ += piece;
  }

  void blank() {
    if (!out_.ends_with("\n\n")) { out_ += '\n'; }
  }

  /// One line, or several when it is too long; the first starts with what hangs in front of it.
  void write(std::size_t columns, std::string_view content) {
    std::string line = std::exchange(hanging_, "");
    if (line.empty()) { line.assign(columns, ' '); }
    bool first = true;
    for (const std::string_view word : text::split(content, " ")) {
      if (!first && line.size() + 1 + word.size() > kWidth) {
        out_ += line + '\n';
        line.assign(columns + (section_ == "SYNOPSIS" ? 4 : 0), ' ');
        first = true;
      }
      if (!first) { line += ' '; }
      line += word;
      first = false;
    }
    out_ += std::string(text::trim_end(line)) + '\n';
  }

  void flush() {
    if (!paragraph_.empty() || !hanging_.empty()) { write(indent(), std::exchange(paragraph_, "")); }
  }

  std::string out_;
  std::string name_;
  std::string section_;
  std::string paragraph_;
  std::string hanging_;
  std::vector<List> lists_;
  std::size_t line_number_ = 0;
  bool in_name_ = false;
  bool wanted_ = false;
  bool literal_ = false;
  bool no_space_before_ = false;
  bool no_space_after_ = false;
};

}  // namespace

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while ((at = line.find_first_not_of(" \t", at)) != std::string_view::npos) {
    if (line[at] == '"') {
      const std::size_t end = std::min(line.find('"', at + 1), line.size());
      words.emplace_back(line.substr(at + 1, end - at - 1));
      at = std::min(end + 1, line.size());
      continue;
    }
    std::string word;
    for (; at < line.size() && line[at] != ' ' && line[at] != '\t'; ++at) {
      word += line[at];
      if (line[at] == '\\' && at + 1 < line.size()) { word += line[++at]; }
    }
    words.push_back(std::move(word));
  }
  return words;
}

Result<std::string> help_text(std::string_view page) { return Renderer().render(page); }

ParametersNamed parameters_named(std::string_view page) {
  ParametersNamed names;
  std::string section;
  bool shared = false;
  for (const std::string_view line : text::split_exact(page, '\n')) {
    if (!line.starts_with('.')) { continue; }
    const std::vector<std::string> words = words_of(line.substr(1));
    if (words.empty()) { continue; }
    if (words.front() == "Sh") { section = words.size() > 1 ? words[1] : ""; }
    if (words.front() == "Sh" || words.front() == "Ss") { shared = line == ".Ss Parameters of all daemons"; }
    if (section == "COMPATIBILITY" || section == "SEE") { continue; }
    bool parameter = false;
    for (const std::string& word : words) {
      if (word == "Va") {
        parameter = true;
      } else if (word.size() == 2 && text::is_upper(word[0]) && text::is_lower(word[1])) {
        parameter = false;
      } else if (parameter && !closes(word) && !opens(word)) {
        (shared ? names.all_daemons : names.own).insert(unescape(word));
      }
    }
  }
  return names;
}

}  // namespace stagepost::manual
