// See rewrite.hpp. An address is taken apart into its characters in internal form and, for each, whether it was quoted:
// only unquoted '@', '!', '%' and ':' route.
#include "mail/rewrite.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"
#include "mail/address.hpp"
#include "mail/hostname.hpp"

namespace stagepost::mail {
namespace {

class RoutedText {
 public:
  static RoutedText from_external(std::string_view external) {
    RoutedText result;
    bool quoted = false;
    for (std::size_t i = 0; i < external.size(); ++i) {
      const char c = external[i];
      if (c == '\\' && i + 1 < external.size()) {
        result.add(external[++i], true);
      } else if (c == '"') {
        quoted = !quoted;
      } else {
        result.add(c, quoted);
      }
    }
    return result;
  }

  static RoutedText from_internal(std::string_view internal) {
    RoutedText result;
    result.text_ = internal;
    result.quoted_.assign(internal.size(), false);
    return result;
  }

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::size_t find(char c) const {
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == c && !quoted_[i]) { return i; }
    }
    return std::string::npos;
  }
  [[nodiscard]] std::size_t rfind(char c) const {
    for (std::size_t i = text_.size(); i > 0; --i) {
      if (text_[i - 1] == c && !quoted_[i - 1]) { return i - 1; }
    }
    return std::string::npos;
  }
  [[nodiscard]] bool has(char c) const { return find(c) != std::string::npos; }

  void strip_source_route() {
    if (text_.empty() || text_.front() != '@' || quoted_.front()) { return; }
    const std::size_t colon = find(':');
    if (colon != std::string::npos && colon + 1 < text_.size()) { erase_front(colon + 1); }
  }

  void swap_bangpath() {
    const std::size_t bang = find('!');
    if (bang == std::string::npos || has('@')) { return; }
    // "site!user": the part before '!' becomes the domain.
    const std::string site = text_.substr(0, bang);
    const std::vector<bool> site_quoted(quoted_.begin(), quoted_.begin() + static_cast<std::ptrdiff_t>(bang));
    erase_front(bang + 1);
    add('@', false);
    text_ += site;
    quoted_.insert(quoted_.end(), site_quoted.begin(), site_quoted.end());
  }

  void apply_percent_hack() {
    const std::size_t percent = rfind('%');
    if (percent != std::string::npos && !has('@')) { text_[percent] = '@'; }
  }

  void append_domain(std::string_view domain) {
    add('@', false);
    append(domain);
  }

  void append(std::string_view unquoted) {
    text_ += unquoted;
    quoted_.resize(text_.size(), false);
  }

  void truncate(std::size_t size) {
    text_.resize(size);
    quoted_.resize(size);
  }

  /// Exactly one dot at the end of "user@domain."; "user@." and "user@domain.." are left for resolution to refuse.
  void strip_trailing_dot() {
    if (text_.size() > 1 && text_.back() == '.' && !quoted_.back() && text_[text_.size() - 2] != '.' &&
        text_[text_.size() - 2] != '@') {
      truncate(text_.size() - 1);
    }
  }

  [[nodiscard]] std::string external() const {
    const std::size_t at = rfind('@');
    if (at == std::string::npos) {
      // quote_822_local would take a quoted '@' for the domain's.
      return text_.empty() ? std::string() : Address::from_parts(text_, {}).value_or(Address{}).external();
    }
    const auto address = Address::from_parts(std::string_view(text_).substr(0, at), {});
    std::string result = at == 0 ? "\"\"" : address.value_or(Address{}).external();
    result += std::string_view(text_).substr(at);
    return result;
  }

 private:
  void add(char c, bool quoted) {
    text_ += c;
    quoted_.push_back(quoted);
  }
  void erase_front(std::size_t count) {
    text_.erase(0, count);
    quoted_.erase(quoted_.begin(), quoted_.begin() + static_cast<std::ptrdiff_t>(count));
  }

  std::string text_;
  std::vector<bool> quoted_;
};

void append_dot_mydomain(RoutedText& address, std::string_view mydomain) {
  const std::size_t at = address.rfind('@');
  if (at == std::string::npos || mydomain.empty()) { return; }
  const std::string_view domain = std::string_view(address.text()).substr(at + 1);
  if (!domain.empty() && !domain.starts_with('[') && domain.find('.') == std::string_view::npos) {
    address.append(".");
    address.append(mydomain);
  }
}

bool is_resolvable_domain(std::string_view domain, const ResolveOptions& options) {
  if (domain.starts_with('[')) { return parse_address_literal(domain).has_value(); }
  if (is_ip_address(domain)) { return options.resolve_numeric_domain; }
  const auto ascii = domain_to_ascii(domain);
  return ascii && is_valid_hostname(*ascii);
}

}  // namespace

std::string rewrite_address(std::string_view external, const RewriteOptions& options) {
  RoutedText address = RoutedText::from_external(external);
  if (address.text().empty() || address.text().find_first_of(std::string_view("\0\r\n", 3)) != std::string::npos) {
    return std::string(external);
  }
  if (address.text() == "@") { return "\"\""; }
  address.strip_source_route();
  if (!address.has('@')) {
    if (options.swap_bangpath) { address.swap_bangpath(); }
    if (options.allow_percent_hack) { address.apply_percent_hack(); }
    if (options.append_at_myorigin && !address.has('@') && !options.myorigin.empty()) {
      address.append_domain(options.myorigin);
    }
  }
  if (options.append_dot_mydomain) { append_dot_mydomain(address, options.mydomain); }
  address.strip_trailing_dot();
  return address.external();
}

std::string strip_source_route(std::string_view external) {
  RoutedText address = RoutedText::from_external(external);
  address.strip_source_route();
  return address.external();
}

std::string swap_bangpath(std::string_view external) {
  RoutedText address = RoutedText::from_external(external);
  address.swap_bangpath();
  return address.external();
}

std::string apply_percent_hack(std::string_view external) {
  RoutedText address = RoutedText::from_external(external);
  address.apply_percent_hack();
  return address.external();
}

std::string strip_trailing_dot(std::string_view external) {
  RoutedText address = RoutedText::from_external(external);
  address.strip_trailing_dot();
  return address.external();
}

ResolvedRoute resolve_route(std::string_view internal, const ResolveOptions& options) {
  ResolvedRoute result;
  // resolve_dequoted_address = no: operators in a local-part that needs quotes don't route.
  RoutedText address = options.resolve_dequoted_address ? RoutedText::from_internal(internal)
                                                        : RoutedText::from_external(quote_822_local(internal));
  std::string local_domain;
  // Each round removes one '@', '!' or '%', so that the loop ends.
  for (;;) {
    address.strip_trailing_dot();
    const std::size_t at = address.rfind('@');
    if (at == std::string::npos) {
      const bool routes =
          (options.swap_bangpath && address.has('!')) || (options.allow_percent_hack && address.has('%'));
      if (!routes) { break; }
      if (options.swap_bangpath) { address.swap_bangpath(); }
      if (options.allow_percent_hack) { address.apply_percent_hack(); }
      local_domain.clear();
      continue;
    }
    const std::string domain = address.text().substr(at + 1);
    if (domain.empty()) {
      const std::string_view rest = std::string_view(address.text()).substr(0, at);
      if (rest.find_first_of("@!%") == std::string_view::npos && !options.resolve_null_domain) {
        result.recipient = address.text();
        result.problem = ResolvedRoute::Problem::bad_address;
        return result;
      }
    } else if (!options.is_local_domain || !options.is_local_domain(text::to_lower(domain))) {
      break;
    }
    address.truncate(at);
    local_domain = domain;
  }
  if (!address.has('@')) {
    if (address.text().empty()) { address.append(options.empty_address_recipient); }
    address.append_domain(local_domain.empty() ? options.myhostname : std::string_view(local_domain));
  }
  const std::size_t at = address.rfind('@');
  result.routed = std::ranges::any_of(std::string_view("@!%"), [&](char c) { return address.find(c) < at; });
  result.recipient = address.text();
  result.domain = text::to_lower(std::string_view(address.text()).substr(at + 1));
  if (!is_resolvable_domain(result.domain, options)) { result.problem = ResolvedRoute::Problem::bad_address; }
  return result;
}

}  // namespace stagepost::mail
