// See ldap_expansion.hpp.
#include "ldap_expansion.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps {
namespace {

using Kind = LdapAttributes::Kind;

/// "mail;lang-en" is "mail" and "lang-en".
std::pair<std::string_view, std::string_view> split_options(std::string_view attribute) {
  const std::size_t semicolon = attribute.find(';');
  if (semicolon == std::string_view::npos) { return {attribute, {}}; }
  return {attribute.substr(0, semicolon), attribute.substr(semicolon + 1)};
}

std::optional<Kind> kind_of(std::string_view name, const LdapAttributes& attributes) {
  for (const auto& one : attributes.all) {
    if (text::iequals(one.name, name)) { return one.kind; }
  }
  return std::nullopt;
}

}  // namespace

void LdapAttributes::add(std::string_view list, Kind kind) {
  for (const std::string_view name : text::split(list, ", \t\r\n")) {
    all.push_back({.name = std::string(name), .kind = kind});
  }
}

std::vector<std::string> LdapAttributes::names() const {
  std::vector<std::string> list;
  for (const Attribute& one : all) { list.push_back(one.name); }
  return list;
}

LdapAttributes LdapAttributes::selected(const std::vector<std::string>& by_url) const {
  if (by_url.empty() || std::ranges::find(by_url, "*") != by_url.end()) { return *this; }
  LdapAttributes chosen{.all = {}, .recursion_limit = recursion_limit};
  for (const Attribute& own : all) {
    const auto [own_name, own_options] = split_options(own.name);
    for (const std::string& other : by_url) {
      const auto [name, options] = split_options(other);
      if (!text::iequals(own_name, name)) { continue; }
      if (own_options.empty()) {
        chosen.all.push_back({.name = other, .kind = own.kind});
      } else if (options.empty() || text::iequals(own_options, options)) {
        chosen.all.push_back(own);
      }
    }
  }
  return chosen;
}

Result<> LdapExpansion::add(const std::vector<LdapEntry>& entries, const LdapAttributes& attributes) {
  for (const LdapEntry& entry : entries) { SP_TRY(add_entry(entry, attributes, 1)); }
  return {};
}

Result<> LdapExpansion::add_entry(const LdapEntry& entry, const LdapAttributes& attributes, std::size_t depth) {
  bool terminal = false;
  bool special = false;
  for (const auto& [name, values] : entry.attributes) {
    const auto kind = kind_of(name, attributes);
    if (values.empty() || !kind) { continue; }
    terminal = terminal || *kind == Kind::terminal;
    special = special || *kind == Kind::special;
  }
  for (const auto& [name, values] : entry.attributes) {
    const auto kind = kind_of(name, attributes);
    if (!kind || (terminal && *kind != Kind::terminal)) { continue; }
    if (*kind == Kind::special) {
      for (const std::string& value : values) { SP_TRY(follow(name, value, attributes, depth)); }
    } else if (*kind != Kind::leaf || !special) {
      SP_TRY(add_values(values));
    }
  }
  return {};
}

Result<> LdapExpansion::follow(std::string_view name, const std::string& value, const LdapAttributes& attributes,
                               std::size_t depth) {
  if (depth >= attributes.recursion_limit) {
    refused_ = true;
    return failure(
        fmt::format("recursion limit exceeded for special attribute {}={}", printable(name), printable(value)));
  }
  LdapSearch search{.base = value};
  LdapAttributes wanted = attributes;
  if (auto url = directory_.parse_url(value)) {
    search = *std::move(url);
    wanted = attributes.selected(search.attributes);
    if (wanted.all.empty()) { return {}; }
  }
  // It would end at the recursion limit, after so many searches.
  std::pair<std::string, std::size_t> step(text::to_lower(value), wanted.all.size());
  if (std::ranges::find(path_, step) != path_.end()) {
    refused_ = true;
    return failure(fmt::format("special attribute {}={} leads back to itself", printable(name), printable(value)));
  }
  search.attributes = wanted.names();
  SP_TRY(const auto entries, directory_.search(search));
  if (!entries) {
    warn_(fmt::format("{}={} not found, skipped", printable(name), printable(value)));
    return {};
  }
  path_.push_back(std::move(step));
  for (const LdapEntry& entry : *entries) { SP_TRY(add_entry(entry, wanted, depth + 1)); }
  path_.pop_back();
  return {};
}

Result<> LdapExpansion::add_values(const std::vector<std::string>& values) {
  for (const std::string& value : values) {
    auto added = results_.add(value);
    if (!added) {
      refused_ = true;
      return added;
    }
  }
  return {};
}

}  // namespace stagepost::maps
