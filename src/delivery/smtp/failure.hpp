// What went wrong with a server, in the words administrators' tools know, and what it means for the recipients. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "delivery/attempt.hpp"
#include "mail/reply.hpp"

namespace stagepost::smtp_client {

/// Which step a server did not get through; decides the words and the timeout's name.
enum class Step : std::uint8_t {
  greeting,
  ehlo,
  helo,
  lhlo,
  starttls,
  mail,
  rcpt,
  data,
  body,
  end_of_data,
  rset,
  quit
};
/// "performing the EHLO handshake", "sending MAIL FROM", ...: after "lost connection with X while ".
[[nodiscard]] std::string_view describe(Step step);
/// "MAIL FROM": after "in reply to " and before " command".
[[nodiscard]] std::string_view command_name(Step step);

struct Failure {
  bool permanent = false;
  dsn::Status status;
  /// The server as such is at fault: another one may do better, and qmgr should slow down.
  bool of_session = true;
  /// For the delivery report; empty when no server spoke.
  std::string remote_mta;
  std::string diagnostic;
};

/// "host X said: 550 5.1.1 no (in reply to RCPT TO command)". `host` is "name[address]".
[[nodiscard]] Failure said(std::string_view host, const smtp::ServerReply& reply, Step step);
/// "host X refused to talk to me: ...". A permanent refusal at the greeting is temporary with `soften`.
[[nodiscard]] Failure refused(std::string_view host, const smtp::ServerReply& reply, bool soften);
/// "lost connection with X while ..." or "conversation with X timed out while ..."; 4.4.2.
[[nodiscard]] Failure broke_off(std::string_view host, const Error& error, Step step);
/// "Protocol error: host X said: ... " for replies that are not SMTP; 5.5.0 in Postfix, here temporary.
[[nodiscard]] Failure malformed(std::string_view host, Step step);
/// "connect to X:25: Connection refused"; 4.4.1.
[[nodiscard]] Failure not_connected(std::string_view host_and_port, const Error& error);
[[nodiscard]] Failure temporary(std::string code, std::string text);
[[nodiscard]] Failure permanent(std::string code, std::string text);

/// One line of a reply: lines joined with spaces.
[[nodiscard]] std::string one_line(std::string_view reply_text);
[[nodiscard]] delivery::Outcome to_outcome(const Failure& failure, std::string relay);

}  // namespace stagepost::smtp_client
