// See header.hpp.
#include "mail/header.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"

namespace stagepost::mail {
namespace {

struct KnownHeader {
  std::string_view name;
  HeaderKind kind;
  HeaderTraits traits;
};

using Addresses = HeaderTraits::Addresses;
constexpr HeaderTraits kPlain{};
constexpr HeaderTraits kMime{.mime = true};
constexpr HeaderTraits kSender{.addresses = Addresses::sender};
constexpr HeaderTraits kRecipient{.addresses = Addresses::recipient};
constexpr HeaderTraits kExtracted{.addresses = Addresses::recipient, .extract_recipients = true};
constexpr HeaderTraits kResent{.resent = true};
constexpr HeaderTraits kResentSender{.addresses = Addresses::sender, .resent = true};
constexpr HeaderTraits kResentExtracted{.addresses = Addresses::recipient, .extract_recipients = true, .resent = true};

// In the order of HeaderKind.
constexpr std::array<KnownHeader, 33> kHeaders{{
    {"", HeaderKind::other, kPlain},
    {"Apparently-To", HeaderKind::apparently_to, kRecipient},
    {"Bcc", HeaderKind::bcc, kExtracted},
    {"Cc", HeaderKind::cc, kExtracted},
    {"Content-Description", HeaderKind::content_description, kMime},
    {"Content-Disposition", HeaderKind::content_disposition, kMime},
    {"Content-Id", HeaderKind::content_id, kMime},
    {"Content-Length", HeaderKind::content_length, kPlain},
    {"Content-Transfer-Encoding", HeaderKind::content_transfer_encoding, kMime},
    {"Content-Type", HeaderKind::content_type, kMime},
    {"Date", HeaderKind::date, kPlain},
    {"Delivered-To", HeaderKind::delivered_to, kPlain},
    {"Disposition-Notification-To", HeaderKind::disposition_notification_to, kSender},
    {"Errors-To", HeaderKind::errors_to, kSender},
    {"From", HeaderKind::from, kSender},
    {"Mail-Followup-To", HeaderKind::mail_followup_to, kSender},
    {"Message-Id", HeaderKind::message_id, kPlain},
    {"MIME-Version", HeaderKind::mime_version, kMime},
    {"Received", HeaderKind::received, kPlain},
    {"Reply-To", HeaderKind::reply_to, kSender},
    {"Resent-Bcc", HeaderKind::resent_bcc, kResentExtracted},
    {"Resent-Cc", HeaderKind::resent_cc, kResentExtracted},
    {"Resent-Date", HeaderKind::resent_date, kResent},
    {"Resent-From", HeaderKind::resent_from, kResentSender},
    {"Resent-Message-Id", HeaderKind::resent_message_id, kResent},
    {"Resent-Reply-To", HeaderKind::resent_reply_to, kResentSender},
    {"Resent-Sender", HeaderKind::resent_sender, kResentSender},
    {"Resent-To", HeaderKind::resent_to, kResentExtracted},
    {"Return-Path", HeaderKind::return_path, kSender},
    {"Return-Receipt-To", HeaderKind::return_receipt_to, kSender},
    {"Sender", HeaderKind::sender, kSender},
    {"Subject", HeaderKind::subject, kPlain},
    {"To", HeaderKind::to, kExtracted},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kHeaders.size(); ++i) {
    if (static_cast<std::size_t>(kHeaders[i].kind) != i) { return false; }
  }
  return true;
}
static_assert(in_order());

constexpr bool is_name_char(char c) { return c > ' ' && c < 0x7f && c != ':'; }

std::size_t name_end(std::string_view line) {
  std::size_t i = 0;
  while (i < line.size() && is_name_char(line[i])) { ++i; }
  return i;
}

const KnownHeader& known(HeaderKind kind) { return kHeaders[static_cast<std::size_t>(kind)]; }

}  // namespace

HeaderKind header_kind(std::string_view name) {
  if (name.empty()) { return HeaderKind::other; }
  const char first = text::lower(name.front());
  for (const KnownHeader& header : kHeaders) {
    if (header.name.size() == name.size() && text::lower(header.name.front()) == first &&
        text::iequals(header.name, name)) {
      return header.kind;
    }
  }
  return HeaderKind::other;
}

HeaderTraits header_traits(HeaderKind kind) { return known(kind).traits; }
std::string_view header_name(HeaderKind kind) { return known(kind).name; }

std::size_t header_name_length(std::string_view line) {
  const std::size_t length = name_end(line);
  const std::size_t colon = line.find_first_not_of(" \t", length);
  return length > 0 && colon != std::string_view::npos && line[colon] == ':' ? length : 0;
}

std::optional<HeaderField> parse_header_field(std::string_view field) {
  const std::size_t length = header_name_length(field);
  if (length == 0) { return std::nullopt; }
  const std::size_t colon = field.find(':', length);
  std::string_view body = field.substr(colon + 1);
  body.remove_prefix(std::min(body.find_first_not_of(" \t\r\n"), body.size()));
  const std::string_view name = field.substr(0, length);
  return HeaderField{.name = name, .body = body, .kind = header_kind(name)};
}

std::string unfold(std::string_view folded) {
  std::string result;
  result.reserve(folded.size());
  for (const char c : folded) {
    if (c != '\n') {
      result += c;
    } else if (result.ends_with('\r')) {
      result.pop_back();
    }
  }
  return result;
}

std::string fold(std::string_view field, std::size_t limit) {
  std::string result;
  result.reserve(field.size() + field.size() / 32);
  while (!field.empty()) {
    const std::size_t line_end = std::min(field.find('\n'), field.size());
    std::string_view line = field.substr(0, line_end);
    while (line.size() > limit) {
      // The last white space that keeps the line short, else the first one after it; never one that leaves a blank
      // line.
      const std::size_t text = std::min(line.find_first_not_of(" \t"), line.size());
      std::size_t at = line.find_last_of(" \t", limit);
      if (at == std::string_view::npos || at <= text) { at = line.find_first_of(" \t", std::max(limit, text)); }
      if (at == std::string_view::npos || line.find_first_not_of(" \t", at) == std::string_view::npos) { break; }
      result += line.substr(0, at);
      result += '\n';
      line.remove_prefix(at);
    }
    result += line;
    if (line_end == field.size()) { break; }
    result += '\n';
    field.remove_prefix(line_end + 1);
  }
  return result;
}

}  // namespace stagepost::mail
