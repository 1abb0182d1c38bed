// See lookup_order.hpp.
#include "maps/lookup_order.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::maps {
namespace {

struct SplitAddress {
  std::string_view local_part;
  std::string_view domain;  ///< without '@'; empty when there is none
};

SplitAddress split_address(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? SplitAddress{address, {}}
                                      : SplitAddress{address.substr(0, at), address.substr(at + 1)};
}

void add_whole(LookupKeys& keys, std::string_view text) { keys.push_back({.text = std::string(text)}); }

void add_partial(LookupKeys& keys, std::string text, std::string_view unmatched_extension = {}) {
  keys.push_back(
      {.text = std::move(text), .part = Part::partial, .unmatched_extension = std::string(unmatched_extension)});
}

/// The parents of `domain`: "a.b.c" has "b.c" and "c", with a leading dot in the dotted style.
void add_parents(LookupKeys& keys, std::string_view domain, ParentStyle style) {
  // An address literal has no parents.
  if (domain.starts_with('[')) { return; }
  for (std::size_t dot = domain.find('.', 1); dot != std::string_view::npos; dot = domain.find('.', dot + 1)) {
    const std::string_view parent = domain.substr(style == ParentStyle::dotted ? dot : dot + 1);
    if (!parent.empty()) { add_partial(keys, std::string(parent)); }
  }
}

/// The address itself and, when it has an extension, the address without it.
SplitLocalPart add_address(LookupKeys& keys, std::string_view address, const ExtensionRule& rule) {
  const auto [local_part, domain] = split_address(address);
  const SplitLocalPart split = split_local_part(local_part, rule);
  add_whole(keys, address);
  if (!split.extension.empty()) {
    add_partial(keys, domain.empty() ? std::string(split.user) : fmt::format("{}@{}", split.user, domain),
                split.extension);
  }
  return split;
}

}  // namespace

SplitLocalPart split_local_part(std::string_view local_part, const ExtensionRule& rule) {
  const SplitLocalPart whole{.user = local_part, .extension = {}};
  if (rule.delimiters.empty() || text::iequals(local_part, "mailer-daemon") ||
      text::iequals(local_part, "postmaster") || text::iequals(local_part, rule.double_bounce_sender)) {
    return whole;
  }
  if (rule.owner_request_special &&
      (text::istarts_with(local_part, "owner-") || text::iends_with(local_part, "-request"))) {
    // The list's own "-" is not a delimiter.
    return whole;
  }
  const std::size_t delimiter = local_part.find_first_of(rule.delimiters);
  if (delimiter == std::string_view::npos || delimiter == 0) { return whole; }
  return {.user = local_part.substr(0, delimiter), .extension = local_part.substr(delimiter)};
}

LookupKeys address_keys(std::string_view address, const ExtensionRule& rule, Site site) {
  LookupKeys keys;
  const SplitLocalPart split = add_address(keys, address, rule);
  const auto [local_part, domain] = split_address(address);
  if (domain.empty()) { return keys; }
  if (site == Site::local) {
    add_partial(keys, std::string(local_part));
    if (!split.extension.empty()) { add_partial(keys, std::string(split.user), split.extension); }
  }
  add_partial(keys, fmt::format("@{}", domain), split.extension);
  return keys;
}

LookupKeys alias_keys(std::string_view local_part, const ExtensionRule& rule) {
  LookupKeys keys;
  const SplitLocalPart split = split_local_part(local_part, rule);
  add_whole(keys, local_part);
  if (!split.extension.empty()) { add_partial(keys, std::string(split.user), split.extension); }
  return keys;
}

LookupKeys transport_keys(std::string_view address, const ExtensionRule& rule, ParentStyle style) {
  LookupKeys keys;
  add_address(keys, address, rule);
  const std::string_view domain = split_address(address).domain;
  if (!domain.empty()) {
    add_partial(keys, std::string(domain));
    add_parents(keys, domain, style);
  }
  add_partial(keys, "*");
  return keys;
}

LookupKeys access_address_keys(std::string_view address, const ExtensionRule& rule, ParentStyle style) {
  LookupKeys keys;
  const SplitLocalPart split = add_address(keys, address, rule);
  const auto [local_part, domain] = split_address(address);
  if (!domain.empty()) {
    add_partial(keys, std::string(domain));
    add_parents(keys, domain, style);
  }
  add_partial(keys, fmt::format("{}@", local_part));
  if (!split.extension.empty()) { add_partial(keys, fmt::format("{}@", split.user), split.extension); }
  return keys;
}

LookupKeys domain_keys(std::string_view domain, ParentStyle style) {
  LookupKeys keys;
  add_whole(keys, domain);
  add_parents(keys, domain, style);
  return keys;
}

LookupKeys access_host_keys(std::string_view host, ParentStyle style) { return domain_keys(host, style); }

LookupKeys access_network_keys(std::string_view address) {
  LookupKeys keys;
  add_whole(keys, address);
  const char separator = address.contains(':') ? ':' : '.';
  std::size_t end = address.rfind(separator);
  while (end != std::string_view::npos && end != 0) {
    // "2001:db8::" shortens to "2001:db8": a "::" goes as one.
    std::string_view shorter = address.substr(0, end);
    while (separator == ':' && shorter.ends_with(':')) { shorter.remove_suffix(1); }
    if (shorter.empty()) { break; }
    add_partial(keys, std::string(shorter));
    end = shorter.rfind(separator);
  }
  return keys;
}

ExtensionPropagation ExtensionPropagation::parse(std::string_view list, std::vector<std::string>* unknown) {
  static constexpr std::array<std::pair<std::string_view, ExtensionUse>, 6> kWords{{
      {"canonical", ExtensionUse::canonical},
      {"virtual", ExtensionUse::virtual_},
      {"alias", ExtensionUse::alias},
      {"forward", ExtensionUse::forward},
      {"include", ExtensionUse::include},
      {"generic", ExtensionUse::generic},
  }};
  ExtensionPropagation result;
  for (const std::string_view word : text::split(list, ", \t\r\n")) {
    const auto* const known =
        std::ranges::find_if(kWords, [&](const auto& entry) { return text::iequals(entry.first, word); });
    if (known != kWords.end()) {
      result.bits_ |= bit(known->second);
    } else if (unknown != nullptr) {
      unknown->emplace_back(word);
    }
  }
  return result;
}

std::string with_extension(std::string_view address, std::string_view extension) {
  const std::size_t at = std::min(address.rfind('@'), address.size());
  return fmt::format("{}{}{}", address.substr(0, at), extension, address.substr(at));
}

std::string expand_domain_result(std::string_view result, std::string_view address) {
  return result.starts_with('@') ? fmt::format("{}{}", split_address(address).local_part, result) : std::string(result);
}

ParentStyle parent_style(std::string_view parent_domain_matches_subdomains, std::string_view feature) {
  const auto words = text::split(parent_domain_matches_subdomains, ", \t\r\n");
  const bool listed = std::ranges::any_of(words, [&](std::string_view word) { return text::iequals(word, feature); });
  return listed ? ParentStyle::plain : ParentStyle::dotted;
}

}  // namespace stagepost::maps
