// What the clients of proxymap and proxywrite ask, and what these answer (proxymap(8)). Message types 0x0Exx. A request
// carries a number that its reply repeats: replies come in the order in which the tables answer, so that a slow table
// holds up nobody.
#pragma once

#include <cstdint>
#include <string>

#include "maps/lookup.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// The longest "type:name", and the longest value that goes either way; with the longest key (kKeyLimit) they fit into
/// one message.
inline constexpr std::size_t kProxyNameLimit = 60'000;
inline constexpr std::size_t kProxyValueLimit = 800'000;
/// Requests without a reply on one connection.
inline constexpr std::size_t kProxyPendingLimit = 500;

/// How a table is opened, as far as its user decides. One table opened in two ways is two tables, as in Postfix.
struct ProxyFlags {
  static constexpr std::uint8_t kNoSubstitution = 1;
  static constexpr std::uint8_t kNoFold = 2;
  static constexpr std::uint8_t kUtf8 = 4;
  static constexpr std::uint8_t kAll = kNoSubstitution | kNoFold | kUtf8;
  [[nodiscard]] static std::uint8_t of(const OpenContext& context) {
    return static_cast<std::uint8_t>((context.substitution == Substitution::forbidden ? kNoSubstitution : 0) |
                                     (context.fold == CaseFold::no ? kNoFold : 0) |
                                     (context.utf8 == Utf8::check ? kUtf8 : 0));
  }
  static void apply(std::uint8_t flags, OpenContext& context) {
    context.substitution = (flags & kNoSubstitution) != 0 ? Substitution::forbidden : Substitution::allowed;
    context.fold = (flags & kNoFold) != 0 ? CaseFold::no : CaseFold::yes;
    context.utf8 = (flags & kUtf8) != 0 ? Utf8::check : Utf8::off;
  }
};

struct ProxyRequest {
  static constexpr std::uint16_t kType = 0x0E01;
  enum class What : std::uint8_t { look_up, update, erase, kLast = erase };
  std::uint32_t number = 0;
  What what = What::look_up;
  std::string table;  ///< "type:name", without "proxy:"
  std::uint8_t flags = 0;
  std::string key;
  std::string value;  ///< update only
  auto fields(this auto& self, auto&& visit) {
    return visit(self.number, self.what, self.table, self.flags, self.key, self.value);
  }
};

struct ProxyReply {
  static constexpr std::uint16_t kType = 0x0E02;
  enum class Status : std::uint8_t {
    ok,         ///< found (the value is in `text`), stored, erased
    not_found,  ///< no such key
    retry,      ///< the table failed; `text` says why
    denied,     ///< the table is not in proxy_read_maps or proxy_write_maps
    kLast = denied
  };
  std::uint32_t number = 0;
  Status status = Status::ok;
  std::string text;
  auto fields(this auto& self, auto&& visit) { return visit(self.number, self.status, self.text); }
};

}  // namespace stagepost::maps
