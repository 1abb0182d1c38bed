#include "commands/sendmail/options.hpp"

#include "base/text.hpp"
#include "mail/verp.hpp"

namespace stagepost::sendmail {
namespace {

/// Options whose value is the rest of the word or the next argument.
constexpr std::string_view kWithValue = "ABCFefhLNOopRrVXb";
/// Options without a value. -q takes one only in the same word.
constexpr std::string_view kWithoutValue = "acGIimntUvx";

class Parser {
 public:
  Parser(Options& options, const std::vector<std::string>& arguments) : options_(options), arguments_(arguments) {}

  Result<> parse() {
    for (; index_ < arguments_.size(); ++index_) {
      const std::string& word = arguments_[index_];
      if (word == "--") {
        ++index_;
        break;
      }
      if (word.size() < 2 || word[0] != '-') { break; }
      SP_TRY(parse_word(std::string_view(word).substr(1)));
    }
    options_.recipients.insert(options_.recipients.end(), arguments_.begin() + static_cast<std::ptrdiff_t>(index_),
                               arguments_.end());
    return check_mode();
  }

 private:
  Result<> parse_word(std::string_view letters) {
    while (!letters.empty()) {
      const char letter = letters.front();
      letters.remove_prefix(1);
      if (letter == 'q') { return queue_option(letters); }
      if (letter == 'n') { return failure("-n option not supported"); }
      if (kWithoutValue.find(letter) != std::string_view::npos) {
        plain_option(letter);
        continue;
      }
      if (kWithValue.find(letter) == std::string_view::npos) {
        return failure("usage: sendmail [options]: unknown option -" + std::string(1, letter));
      }
      if (letter == 'V' && verp_by_old_name(letters)) { return {}; }
      std::string value(letters);
      if (value.empty()) {
        if (index_ + 1 >= arguments_.size()) {
          return failure("option requires an argument -- " + std::string(1, letter));
        }
        value = arguments_[++index_];
      }
      return value_option(letter, value);
    }
    return {};
  }

  /// -V was -XV before Postfix 2.3: alone before another option or before delimiters, or with two delimiters.
  bool verp_by_old_name(std::string_view rest) {
    const auto is_delimiters = [](std::string_view word) { return mail::is_verp_delimiters(word, "-=+"); };
    const bool more = index_ + 1 < arguments_.size();
    const bool alone =
        rest.empty() && more && (arguments_[index_ + 1].starts_with('-') || is_delimiters(arguments_[index_ + 1]));
    if (!alone && !is_delimiters(rest)) { return false; }
    options_.use_verp = true;
    options_.verp_delimiters = rest;
    options_.warnings.push_back("option -V" + std::string(rest) + " is deprecated with Postfix 2.3; specify -XV" +
                                std::string(rest) + " instead");
    return true;
  }

  void plain_option(char letter) {
    switch (letter) {
      case 'G':
        options_.gateway = true;
        break;
      case 'I':
        options_.mode = Mode::newaliases;
        break;
      case 'i':
        options_.dot_is_data = true;
        break;
      case 't':
        options_.extract_recipients = true;
        break;
      case 'v':
        options_.debug += options_.verbose_delivery ? 1 : 0;
        options_.verbose_delivery = true;
        break;
      default:
        break;  // -a -c -m -U -x: accepted for compatibility
    }
  }

  Result<> value_option(char letter, const std::string& value) {
    switch (letter) {
      case 'B':
        if (value == "8BITMIME") {
          options_.body_type = "8bit";
        } else if (value == "7BIT") {
          options_.body_type = "7bit";
        } else {
          return failure("-B option needs 8BITMIME or 7BIT");
        }
        return {};
      case 'C':
        options_.config_directory = value.ends_with("/main.cf") ? value.substr(0, value.size() - 8) : value;
        return {};
      case 'F':
        options_.full_name = value;
        return {};
      case 'f':
      case 'r':
        options_.sender = value;
        options_.has_sender = true;
        return {};
      case 'L':
        options_.log_tag = value;
        return {};
      case 'N': {
        const auto notify = dsn::parse_notify(value);
        // A message that goes without a report is better than one that does not go.
        if (notify && !value.empty()) {
          options_.dsn_notify = *notify;
        } else {
          options_.warnings.emplace_back("bad -N option value -- ignored");
        }
        return {};
      }
      case 'R': {
        const auto ret = dsn::parse_ret(value);
        if (ret) {
          options_.dsn_ret = *ret;
        } else {
          options_.warnings.emplace_back("bad -R option value -- ignored");
        }
        return {};
      }
      case 'V':
        options_.dsn_envid = value;
        return {};
      case 'X':
        if (!value.starts_with('V')) { return failure("unsupported: -X" + value.substr(0, 1)); }
        options_.use_verp = true;
        options_.verp_delimiters = value.substr(1);
        return {};
      case 'b':
        return mode_option(value);
      case 'o':
        if (value.starts_with('A')) {
          options_.alias_database = value.substr(1);
          if (options_.alias_database.empty()) { return failure("-oA requires pathname"); }
        }
        if (value == "i") { options_.dot_is_data = true; }
        return {};
      default:
        return {};  // -A -e -h -O -p: accepted for compatibility
    }
  }

  Result<> mode_option(const std::string& value) {
    switch (value.front()) {
      case 'm':
        options_.mode = Mode::submit;
        return {};
      case 'p':
        options_.mode = Mode::mailq;
        return {};
      case 'i':
        options_.mode = Mode::newaliases;
        return {};
      case 'd':
      case 'l':
        options_.mode = Mode::daemon;
        return {};
      case 'h':
      case 'H':
        options_.mode = Mode::stop;
        return {};
      case 's':
        options_.mode = Mode::smtp;
        return {};
      case 'v':
        options_.mode = Mode::submit;
        options_.verify_only = true;
        return {};
      default:
        return failure("unsupported: -b" + value);
    }
  }

  Result<> queue_option(std::string_view value) {
    if (value.empty()) {
      options_.mode = Mode::flush_queue;
      return {};
    }
    if (text::is_digit(value.front())) {
      interval_ = true;
      return {};
    }
    options_.site_or_id = value.substr(1);
    switch (value.front()) {
      case 'R':
        options_.mode = Mode::flush_site;
        return options_.site_or_id.empty() ? failure("specify: -qRsitename") : Result<>{};
      case 'I':
        options_.mode = Mode::flush_id;
        return options_.site_or_id.empty() ? failure("specify: -qIqueueid") : Result<>{};
      default:
        return failure(std::string("-q") + value.front() + " is not implemented");
    }
  }

  /// Options that exclude each other, whatever their order.
  Result<> check_mode() {
    // Sendmail's time between queue runs. Only a daemon has any; ours has queue_run_delay.
    if (interval_ && options_.mode != Mode::daemon) {
      options_.mode = Mode::stop;
      return {};
    }
    const bool submits = options_.mode == Mode::submit;
    if (options_.extract_recipients && submits && options_.verify_only) {
      return failure("-t option cannot be used with -bv");
    }
    if (options_.extract_recipients && !submits) { return failure("-t can be used only in delivery mode"); }
    if (options_.recipients.empty()) { return {}; }
    switch (options_.mode) {
      case Mode::mailq:
        return failure("display queue mode requires no recipient");
      case Mode::newaliases:
        return failure("alias initialization mode requires no recipient");
      case Mode::daemon:
        return failure("daemon mode requires no recipient");
      case Mode::flush_queue:
        return failure("flush queue mode requires no recipient");
      default:
        return {};
    }
  }

  Options& options_;
  const std::vector<std::string>& arguments_;
  std::size_t index_ = 0;
  bool interval_ = false;  // -q30m
};

}  // namespace

Result<Options> parse_options(std::string_view program, const std::vector<std::string>& arguments) {
  Options options;
  if (program == "mailq") { options.mode = Mode::mailq; }
  if (program == "newaliases") { options.mode = Mode::newaliases; }
  SP_TRY(Parser(options, arguments).parse());
  return options;
}

}  // namespace stagepost::sendmail
