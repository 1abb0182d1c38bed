// TLS settings as texts become values: security levels, protocol ranges, cipher grades. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::config {
class Snapshot;
}

namespace stagepost::tls {

/// Parameters smtp_tls_security_level and smtpd_tls_security_level (servers know the first three).
enum class Level : std::uint8_t { none, may, encrypt, fingerprint, dane, dane_only, verify, secure };
[[nodiscard]] std::optional<Level> parse_level(std::string_view text);
[[nodiscard]] std::string_view level_name(Level level);
/// True for the levels at which mail is not sent without TLS.
[[nodiscard]] constexpr bool is_mandatory(Level level) {
  return level != Level::none && level != Level::may && level != Level::dane;
}

/// OpenSSL protocol versions (TLS1_VERSION ...); 0: no limit on that side.
struct ProtocolRange {
  int minimum = 0;
  int maximum = 0;
  /// SSL_OP_NO_* bits of versions excluded from inside the range.
  std::uint64_t excluded = 0;
  friend bool operator==(const ProtocolRange&, const ProtocolRange&) = default;
};
/// ">=TLSv1", "<=TLSv1.2", "!SSLv2, !SSLv3", "TLSv1.2 TLSv1.3", hexadecimal versions; names are case-insensitive.
/// Error: an unknown name.
[[nodiscard]] Result<ProtocolRange> parse_protocols(std::string_view text);

enum class Grade : std::uint8_t { export_, low, medium, high, null };
[[nodiscard]] std::optional<Grade> parse_grade(std::string_view text);
/// The OpenSSL cipher list of parameter tls_<grade>_cipherlist with `exclude` (names separated by comma, space or
/// colon) removed: "...:!RC4:!aNULL". Error: a '!', '-' or '+' in an excluded name.
[[nodiscard]] Result<std::string> cipher_list(std::string_view grade_list, std::string_view exclude);

/// The same for a grade's name ("medium"), its list from configuration.
[[nodiscard]] Result<std::string> cipher_list(const config::Snapshot& config, std::string_view grade,
                                              std::string_view exclude);
/// "tls_medium_cipherlist"
[[nodiscard]] std::string_view grade_parameter(Grade grade);

/// What the client demands of one destination.
struct ClientPolicy {
  Level level = Level::none;
  ProtocolRange protocols;
  /// For OpenSSL, from cipher_list().
  std::string ciphers;
  /// smtp_tls_servername or the policy's servername attribute: "hostname", "nexthop" or a name; empty: no SNI.
  std::string servername;
  std::vector<std::string> match;
  /// Not empty: this configuration can't be honoured; delivery must be deferred with this text, never downgraded.
  std::string refuse;

  /// Sessions with equal keys may be shared (connection cache).
  [[nodiscard]] std::string key() const;
};

/// `prefix` is "smtp" or "lmtp". Levels that are not available refuse (see ClientPolicy::refuse), as does a value that
/// is not understood.
[[nodiscard]] ClientPolicy client_policy(const config::Snapshot& config, std::string_view prefix);
/// From a right-hand side of smtp_tls_policy_maps: "encrypt protocols=>=TLSv1.2 ciphers=high". Whatever is not
/// understood refuses.
[[nodiscard]] ClientPolicy policy_from_table(const config::Snapshot& config, std::string_view prefix,
                                             std::string_view entry);

}  // namespace stagepost::tls
