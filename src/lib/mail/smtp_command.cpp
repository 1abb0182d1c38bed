// See smtp_command.hpp. The replies are those of Postfix 3.7.11, taken from its behaviour.
#include "mail/smtp_command.hpp"

#include <array>
#include <limits>
#include <utility>

#include "base/text.hpp"
#include "mail/verp.hpp"

namespace stagepost::smtp {
namespace {

constexpr std::array<std::pair<std::string_view, Verb>, 18> kVerbs{{
    {"HELO", Verb::helo},
    {"EHLO", Verb::ehlo},
    {"LHLO", Verb::lhlo},
    {"MAIL", Verb::mail},
    {"RCPT", Verb::rcpt},
    {"DATA", Verb::data},
    {"BDAT", Verb::bdat},
    {"RSET", Verb::rset},
    {"NOOP", Verb::noop},
    {"QUIT", Verb::quit},
    {"VRFY", Verb::vrfy},
    {"EXPN", Verb::expn},
    {"HELP", Verb::help},
    {"ETRN", Verb::etrn},
    {"AUTH", Verb::auth},
    {"STARTTLS", Verb::starttls},
    {"XCLIENT", Verb::xclient},
    {"XFORWARD", Verb::xforward},
}};

/// Longest text of an unsupported option that a reply repeats.
constexpr std::size_t kEchoOctets = 100;

std::unexpected<Reply> refuse(int code, std::string_view enhanced, std::string text) {
  return std::unexpected(Reply{.code = code, .enhanced = std::string(enhanced), .text = std::move(text)});
}

std::unexpected<Reply> unsupported(std::string_view option) {
  return refuse(555, "5.5.4", "Unsupported option: " + std::string(option.substr(0, kEchoOctets)));
}

/// One ESMTP parameter, "KEYWORD" or "KEYWORD=value".
struct Parameter {
  std::string_view whole;
  std::string_view keyword;
  std::optional<std::string_view> value;

  [[nodiscard]] bool is(std::string_view name) const { return value && text::iequals(keyword, name); }
  [[nodiscard]] bool is_flag(std::string_view name) const { return !value && text::iequals(keyword, name); }
};

Parameter to_parameter(std::string_view word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) { return {word, word, std::nullopt}; }
  return {word, word.substr(0, equals), word.substr(equals + 1)};
}

/// The path and the rest after "FROM:" or "TO:"; nullopt if the keyword or the path is missing.
std::optional<mail::PathSplit> take_path(std::string_view argument, std::string_view keyword) {
  if (!text::istarts_with(argument, keyword)) { return std::nullopt; }
  const std::string_view rest = text::trim(argument.substr(keyword.size()));
  if (rest.empty()) { return std::nullopt; }
  return mail::split_path(rest);
}

bool needs_smtputf8(const mail::Address& address) {
  return !text::is_ascii(address.local_part()) || !text::is_ascii(address.domain());
}

std::unexpected<Reply> must_declare_smtputf8() {
  return refuse(553, "5.6.7", "Must declare SMTPUTF8 to send unicode address");
}

std::expected<void, Reply> parse_size(std::string_view value, MailCommand& out) {
  if (value.empty() || value.find_first_not_of("0123456789") != std::string_view::npos) {
    return refuse(501, "5.5.4", "Bad message size syntax");
  }
  const auto size = text::parse_unsigned(value);
  if (!size || *size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return refuse(552, "5.3.4", "Message size exceeds file system imposed limit");
  }
  out.size_bytes = *size;
  return {};
}

std::expected<void, Reply> parse_verp(std::optional<std::string_view> value, std::string_view filter,
                                      MailCommand& out) {
  if (value && !mail::is_verp_delimiters(*value, filter)) {
    return refuse(501, "5.5.4", "Error: XVERP needs two characters from " + std::string(filter));
  }
  out.verp_delimiters = std::string(value.value_or(""));
  return {};
}

std::expected<void, Reply> parse_mail_parameter(const Parameter& parameter, const CommandOptions& options,
                                                MailCommand& out) {
  if (parameter.is("SIZE")) { return parse_size(*parameter.value, out); }
  if (parameter.is("BODY") && text::iequals(*parameter.value, "8BITMIME")) {
    out.body = Body::eight_bit_mime;
  } else if (parameter.is("BODY") && text::iequals(*parameter.value, "7BIT")) {
    out.body = Body::seven_bit;
  } else if (parameter.is_flag("SMTPUTF8") && options.smtputf8) {
    out.smtputf8 = true;
  } else if (parameter.is_flag("REQUIRETLS") && options.requiretls) {
    out.requiretls = true;
  } else if (parameter.is("AUTH")) {
    // RFC 4954 §5: an unusable value means "<>"; it is never a reason to refuse the mail.
    auto decoded = dsn::xtext_decode(*parameter.value);
    out.auth = decoded ? *std::move(decoded) : std::string("<>");
  } else if (parameter.is("RET") || parameter.is("ENVID")) {
    if (!options.dsn) { return refuse(501, "5.7.1", "DSN support is disabled"); }
    if (parameter.is("RET")) {
      const auto ret = dsn::parse_ret(*parameter.value);
      if (!ret || out.ret != dsn::Ret::none) { return refuse(501, "5.5.4", "Bad RET parameter syntax"); }
      out.ret = *ret;
    } else {
      auto envid = dsn::parse_envid(*parameter.value);
      if (!envid || out.envid) { return refuse(501, "5.5.4", "Bad ENVID parameter syntax"); }
      out.envid = std::move(envid);
    }
  } else if (options.xverp && text::iequals(parameter.keyword, "XVERP")) {
    return parse_verp(parameter.value, options.verp_delimiter_filter, out);
  } else {
    return unsupported(parameter.whole);
  }
  return {};
}

std::expected<void, Reply> parse_rcpt_parameter(const Parameter& parameter, const CommandOptions& options,
                                                RcptCommand& out) {
  if (!parameter.is("NOTIFY") && !parameter.is("ORCPT")) { return unsupported(parameter.whole); }
  if (!options.dsn) { return refuse(501, "5.7.1", "DSN support is disabled"); }
  if (parameter.is("NOTIFY")) {
    const auto notify = dsn::parse_notify(*parameter.value);
    if (!notify || out.notify != dsn::Notify::none) {
      return refuse(501, "5.5.4", "Error: Bad NOTIFY parameter syntax");
    }
    out.notify = *notify;
    return {};
  }
  auto orcpt = dsn::parse_orcpt(*parameter.value);
  if (!orcpt || out.orcpt) { return refuse(501, "5.5.4", "Error: Bad ORCPT parameter syntax"); }
  out.orcpt = std::move(orcpt);
  return {};
}

}  // namespace

Command parse_command(std::string_view line) {
  line = text::trim(line);
  if (line.empty()) { return {}; }
  std::size_t end = 0;
  while (end < line.size() && line[end] != ' ' && line[end] != '\t') { ++end; }
  Command command{.verb = Verb::unknown, .word = line.substr(0, end), .argument = text::trim(line.substr(end))};
  for (const auto& [name, verb] : kVerbs) {
    if (text::iequals(command.word, name)) {
      command.verb = verb;
      break;
    }
  }
  return command;
}

std::string_view verb_name(Verb verb) {
  for (const auto& [name, value] : kVerbs) {
    if (value == verb) { return name; }
  }
  return verb == Verb::empty ? "" : "UNKNOWN";
}

std::expected<MailCommand, Reply> parse_mail(std::string_view argument, const CommandOptions& options) {
  const auto split = take_path(argument, "FROM:");
  if (!split) { return refuse(501, "5.5.4", "Syntax: MAIL FROM:<address>"); }
  auto sender = mail::parse_path(
      PeerBytes(split->path),
      {.strict_rfc821_envelopes = options.strict_rfc821_envelopes, .utf8 = mail::Utf8::allow, .allow_null = true});
  if (!sender) { return refuse(501, "5.1.7", "Bad sender address syntax"); }
  MailCommand result{.sender = *std::move(sender), .path = split->path};
  for (const std::string_view word : text::split(split->rest, " \t")) {
    if (auto parsed = parse_mail_parameter(to_parameter(word), options, result); !parsed) {
      return std::unexpected(std::move(parsed).error());
    }
  }
  if (options.strict_smtputf8 && !result.smtputf8 && needs_smtputf8(result.sender)) { return must_declare_smtputf8(); }
  if (result.verp_delimiters && result.sender.is_null()) {
    return refuse(503, "5.5.4", "Error: XVERP requires non-null sender");
  }
  if (result.size_bytes && options.message_size_limit > 0 && *result.size_bytes > options.message_size_limit) {
    return refuse(552, "5.3.4", "Message size exceeds fixed limit");
  }
  return result;
}

std::expected<RcptCommand, Reply> parse_rcpt(std::string_view argument, const CommandOptions& options) {
  const auto split = take_path(argument, "TO:");
  if (!split) { return refuse(501, "5.5.4", "Syntax: RCPT TO:<address>"); }
  auto recipient = mail::parse_path(
      PeerBytes(split->path),
      {.strict_rfc821_envelopes = options.strict_rfc821_envelopes, .utf8 = mail::Utf8::allow, .allow_null = false});
  if (!recipient) { return refuse(501, "5.1.3", "Bad recipient address syntax"); }
  RcptCommand result{.recipient = *std::move(recipient), .path = split->path};
  for (const std::string_view word : text::split(split->rest, " \t")) {
    if (auto parsed = parse_rcpt_parameter(to_parameter(word), options, result); !parsed) {
      return std::unexpected(std::move(parsed).error());
    }
  }
  if (options.strict_smtputf8 && !options.transaction_smtputf8 && needs_smtputf8(result.recipient)) {
    return must_declare_smtputf8();
  }
  return result;
}

std::expected<BdatCommand, Reply> parse_bdat(std::string_view argument) {
  const auto words = text::split(argument, " \t");
  const bool last = words.size() == 2 && text::iequals(words[1], "LAST");
  const auto size = words.empty() ? std::nullopt : text::parse_unsigned(words[0]);
  if (!size || words.size() > 2 || (words.size() == 2 && !last) ||
      *size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return refuse(521, "5.5.4", "Syntax: BDAT count [LAST]");
  }
  if (*size == 0 && !last) { return refuse(551, "5.7.1", "Null BDAT request"); }
  return BdatCommand{.size_bytes = *size, .last = last};
}

}  // namespace stagepost::smtp
