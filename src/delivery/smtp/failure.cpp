#include "delivery/smtp/failure.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::smtp_client {
namespace {

std::string host_name(std::string_view host) { return std::string(host.substr(0, host.find('['))); }

}  // namespace

std::string_view describe(Step step) {
  switch (step) {
    case Step::greeting:
      return "receiving the initial server greeting";
    case Step::ehlo:
      return "performing the EHLO handshake";
    case Step::helo:
      return "performing the HELO handshake";
    case Step::lhlo:
      return "performing the LHLO handshake";
    case Step::starttls:
      return "receiving the STARTTLS response";
    case Step::mail:
      return "sending MAIL FROM";
    case Step::rcpt:
      return "sending RCPT TO";
    case Step::data:
      return "sending DATA command";
    case Step::body:
      return "sending message body";
    case Step::end_of_data:
      return "sending end of data -- message may be sent more than once";
    case Step::rset:
      return "sending RSET";
    case Step::quit:
      return "sending QUIT";
  }
  return "";
}

std::string_view command_name(Step step) {
  switch (step) {
    case Step::mail:
      return "MAIL FROM";
    case Step::rcpt:
      return "RCPT TO";
    case Step::data:
      return "DATA";
    case Step::end_of_data:
      return "end of DATA";
    case Step::ehlo:
      return "EHLO";
    case Step::helo:
      return "HELO";
    case Step::lhlo:
      return "LHLO";
    default:
      return "";
  }
}

std::string one_line(std::string_view reply_text) {
  std::string line(reply_text);
  std::ranges::replace(line, '\n', ' ');
  return printable(line);
}

Failure said(std::string_view host, const smtp::ServerReply& reply, Step step) {
  Failure failure;
  const std::string line = one_line(reply.text);
  failure.permanent = reply.reply_class() == 5;
  failure.of_session = false;
  failure.status = smtp::to_status(reply);
  // A reply that is neither 4xx nor 5xx where one of 2xx or 3xx was due: the server is confused, try again later.
  if (reply.reply_class() != 4 && reply.reply_class() != 5) { failure.status.code = "4.5.0"; }
  failure.status.text = fmt::format("host {} said: {} (in reply to {} command)", host, line, command_name(step));
  failure.remote_mta = host_name(host);
  failure.diagnostic = line;
  return failure;
}

Failure refused(std::string_view host, const smtp::ServerReply& reply, bool soften) {
  Failure failure = said(host, reply, Step::greeting);
  failure.of_session = true;
  if (soften || !failure.permanent) {
    failure.permanent = false;
    failure.status.code = dsn::with_class(failure.status.code, '4');
  }
  failure.status.text = fmt::format("host {} refused to talk to me: {}", host, one_line(reply.text));
  return failure;
}

Failure broke_off(std::string_view host, const Error& error, Step step) {
  const bool timed_out = error.is(std::errc::timed_out);
  Failure failure =
      temporary("4.4.2", timed_out ? fmt::format("conversation with {} timed out while {}", host, describe(step))
                                   : fmt::format("lost connection with {} while {}", host, describe(step)));
  failure.remote_mta = host_name(host);
  return failure;
}

Failure malformed(std::string_view host, Step step) {
  Failure failure =
      temporary("4.5.0", fmt::format("Protocol error: malformed reply from {} while {}", host, describe(step)));
  failure.remote_mta = host_name(host);
  return failure;
}

Failure not_connected(std::string_view host_and_port, const Error& error) {
  return temporary("4.4.1", fmt::format("connect to {}: {}", host_and_port, error.code.message()));
}

Failure temporary(std::string code, std::string text) {
  Failure failure;
  failure.status = {std::move(code), std::move(text)};
  return failure;
}

Failure permanent(std::string code, std::string text) {
  Failure failure = temporary(std::move(code), std::move(text));
  failure.permanent = true;
  return failure;
}

delivery::Outcome to_outcome(const Failure& failure, std::string relay) {
  delivery::Outcome outcome;
  outcome.kind = failure.permanent ? delivery::Kind::bounced : delivery::Kind::deferred;
  outcome.status = failure.status;
  outcome.relay = std::move(relay);
  outcome.remote_mta = failure.remote_mta;
  if (!failure.diagnostic.empty()) {
    outcome.diagnostic_type = "smtp";
    outcome.diagnostic = failure.diagnostic;
  }
  return outcome;
}

}  // namespace stagepost::smtp_client
