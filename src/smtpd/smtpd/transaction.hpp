// One mail transaction, from MAIL to the end of data. It exists only while there is one, so that an idle session is
// small.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "mail/content_lines.hpp"
#include "mail/smtp_command.hpp"
#include "smtpd/smtpd/access.hpp"
#include "smtpd/smtpd/services.hpp"

namespace stagepost::smtpd {

struct Transaction {
  std::string sender;  ///< internal form
  smtp::Body body = smtp::Body::unspecified;
  bool smtputf8 = false;
  dsn::Ret ret = dsn::Ret::none;
  std::string envid;
  std::string verp_delimiters;  ///< empty: no XVERP
  AccessEffects effects;

  std::unique_ptr<MessageSink> message;
  std::string first_recipient;  ///< external form, for the Received: header
  std::uint32_t recipients = 0;

  // Content.
  bool content_started = false;
  std::unique_ptr<mail::ContentDecoder> decoder;
  std::uint64_t size_bytes = 0;   ///< as received, counting two octets for each line end
  std::uint64_t chunk_bytes = 0;  ///< BDAT: sum of the chunks
  std::string pending;            ///< decoded, not handed to cleanup yet; bounded by kContentBytes
  bool too_large = false;
  bool sink_failed = false;
};

/// Decoded content that is collected before it is sent to cleanup.
inline constexpr std::size_t kContentBytes = 32 * 1024;

/// What a client is told about the end of its message, except for success. `soft` codes are 4xx.
[[nodiscard]] smtp::Reply reply_for(const clients::CleanupResult& result);

}  // namespace stagepost::smtpd
