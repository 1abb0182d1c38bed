// See hostname.hpp.
#include "mail/hostname.hpp"

#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <memory>

#include "base/text.hpp"
#include "mail/icu.hpp"

namespace stagepost::mail {
namespace {

constexpr std::size_t kLabelOctets = 63;
constexpr std::size_t kNameOctets = 255;

bool parses_as(int family, std::string_view address) {
  std::array<char, INET6_ADDRSTRLEN + 1> text{};
  std::array<unsigned char, 16> binary{};
  if (address.empty() || address.size() >= text.size() || address.find('\0') != std::string_view::npos) {
    return false;
  }
  address.copy(text.data(), address.size());
  return ::inet_pton(family, text.data(), binary.data()) == 1;
}

struct IdnaCloser {
  void operator()(UIDNA* idna) const { icu()->close_idna(idna); }
};
using IdnaHandle = std::unique_ptr<UIDNA, IdnaCloser>;

IdnaHandle open_idna(std::uint32_t options) {
  if (icu() == nullptr) { return nullptr; }
  UErrorCode error = U_ZERO_ERROR;
  IdnaHandle handle(icu()->open_uts46(options, &error));
  return U_SUCCESS(error) ? std::move(handle) : nullptr;
}

// The ICU objects are immutable, so that one of each kind serves the whole process.
const UIDNA* idna_of(Idna idna) {
  static const IdnaHandle strict = open_idna(UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_NONTRANSITIONAL_TO_UNICODE);
  static const IdnaHandle compatible = open_idna(UIDNA_DEFAULT);
  return idna == Idna::idna2008 ? strict.get() : compatible.get();
}

// uidna_nameToASCII_UTF8 and uidna_nameToUnicodeUTF8 have the same type.
using Converter = decltype(&Icu::name_to_ascii);

std::optional<std::string> convert(std::string_view domain, Idna idna, Converter converter) {
  const UIDNA* handle = idna_of(idna);
  // A U-label is at most 63 characters of at most 4 octets.
  if (handle == nullptr || domain.size() > 4 * kNameOctets || !text::is_utf8(domain)) { return std::nullopt; }
  std::array<char, 5 * kNameOctets> buffer{};
  UIDNAInfo info = UIDNA_INFO_INITIALIZER;
  UErrorCode error = U_ZERO_ERROR;
  const std::int32_t length =
      (icu()->*converter)(handle, domain.data(), static_cast<std::int32_t>(domain.size()), buffer.data(),
                          static_cast<std::int32_t>(buffer.size()), &info, &error);
  if (U_FAILURE(error) || info.errors != 0 || length < 0 || static_cast<std::size_t>(length) > buffer.size()) {
    return std::nullopt;
  }
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

}  // namespace

bool is_valid_hostname(std::string_view name) {
  if (name.empty() || name.size() > kNameOctets) { return false; }
  std::size_t label = 0;
  bool only_digits = true;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '.') {
      if (label == 0 || i + 1 == name.size() || name[i - 1] == '-') { return false; }
      label = 0;
      continue;
    }
    if (!text::is_alnum(c) && c != '_' && (c != '-' || label == 0)) { return false; }
    only_digits = only_digits && text::is_digit(c);
    if (++label > kLabelOctets) { return false; }
  }
  return name.back() != '-' && !only_digits;
}

bool is_fqdn(std::string_view name) { return name.find('.') != std::string_view::npos && is_valid_hostname(name); }

bool is_ipv4(std::string_view address) { return parses_as(AF_INET, address); }
bool is_ipv6(std::string_view address) { return parses_as(AF_INET6, address); }
bool is_ip_address(std::string_view address) { return is_ipv4(address) || is_ipv6(address); }

std::optional<std::string_view> parse_address_literal(std::string_view literal) {
  if (literal.size() < 2 || literal.front() != '[' || literal.back() != ']') { return std::nullopt; }
  std::string_view address = literal.substr(1, literal.size() - 2);
  if (text::istarts_with(address, "IPv6:")) {
    address.remove_prefix(5);
    return is_ipv6(address) ? std::optional(address) : std::nullopt;
  }
  return is_ipv4(address) ? std::optional(address) : std::nullopt;
}

std::optional<std::string> domain_to_ascii(std::string_view domain, Idna idna) {
  if (text::is_ascii(domain)) { return std::string(domain); }
  return convert(domain, idna, &Icu::name_to_ascii);
}

std::optional<std::string> domain_to_utf8(std::string_view domain, Idna idna) {
  bool has_alabel = false;
  for (std::size_t start = 0; start < domain.size() && !has_alabel;) {
    has_alabel = text::istarts_with(domain.substr(start), "xn--");
    const std::size_t dot = domain.find('.', start);
    start = dot == std::string_view::npos ? domain.size() : dot + 1;
  }
  if (!has_alabel && text::is_ascii(domain)) { return std::string(domain); }
  return convert(domain, idna, &Icu::name_to_unicode);
}

std::string_view parent_domain(std::string_view domain) {
  if (domain.empty() || domain.front() == '[') { return {}; }
  const std::size_t dot = domain.find('.');
  return dot == std::string_view::npos ? std::string_view{} : domain.substr(dot + 1);
}

}  // namespace stagepost::mail
