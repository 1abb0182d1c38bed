// The Received: header field (RFC 5321 §4.4) in Postfix's layout, and counting hops.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::mail {

/// Parameter smtpd_tls_received_header.
struct ReceivedTls {
  std::string_view protocol = {};  // "TLSv1.3"
  std::string_view cipher = {};    // "TLS_AES_256_GCM_SHA384"
  int cipher_bits_used = 0;
  int cipher_bits_available = 0;
  std::string_view key_exchange = {};      // "X25519", empty before TLS 1.3
  std::string_view server_signature = {};  // "RSA-PSS (2048 bits)", empty if unknown
  std::string_view server_digest = {};     // "SHA256", empty if unknown
  std::string_view client_signature = {};
  std::string_view client_digest = {};
  /// Certificate of the client: both empty when it sent none.
  std::string_view peer_cn = {};
  std::string_view issuer_cn = {};
  enum class Trust { none_requested, not_presented, not_verified, verified };
  Trust trust = Trust::none_requested;
};

struct ReceivedFromClient {
  std::string_view helo = {};
  std::string_view reverse_name = "unknown";
  /// "192.0.2.1" or "IPv6:2001:db8::1".
  std::string_view address = {};
  /// Parameter smtpd_sasl_authenticated_header: the login name, when it is to be shown.
  std::optional<std::string_view> sasl_username = {};
  std::optional<ReceivedTls> tls = {};
};

struct ReceivedBy {
  std::string_view myhostname = {};
  std::string_view mail_name = "Postfix";
  std::string_view protocol = "ESMTP";  // SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP, QMQP …
  std::string_view queue_id = {};
  /// In external form; shown when the message has a single recipient.
  std::optional<std::string_view> recipient = {};
  std::chrono::sys_seconds when = {};
};

/// The whole field, lines joined with '\n', no line end. Bytes of the client that could break the field are
/// neutralised: control characters become '?'.
[[nodiscard]] std::string received_from_client(const ReceivedFromClient& client, const ReceivedBy& by);
/// "Received: by host (Postfix, from userid 1000)\n\tid QUEUEID; date".
[[nodiscard]] std::string received_from_user(unsigned long uid, const ReceivedBy& by);
/// "Received: by host (Postfix)\n\tid QUEUEID; date": mail made by the mail system.
[[nodiscard]] std::string received_internal(const ReceivedBy& by);

}  // namespace stagepost::mail
