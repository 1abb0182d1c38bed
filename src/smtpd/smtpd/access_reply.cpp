#include "smtpd/smtpd/access_reply.hpp"

#include <fmt/format.h>

#include "mail/dsn.hpp"

namespace stagepost::smtpd {

std::string fit_status(std::string_view code, std::string_view kind) {
  if (code.size() < 5 || code.substr(1, 3) != ".1.") { return std::string(code); }
  const std::string_view detail = code.substr(4);
  const auto with = [&](std::string_view rest) { return std::string(1, code.front()) + std::string(rest); };
  if (kind == kSenderAddress) {
    if (detail == "1" || detail == "3" || detail == "4" || detail == "6") { return with(".1.7"); }
    if (detail == "2") { return with(".1.8"); }
    if (detail == "5") { return with(".1.0"); }
    return std::string(code);
  }
  if (kind == kRecipientAddress) {
    if (detail == "7") { return with(".1.3"); }
    if (detail == "8") { return with(".1.2"); }
    return std::string(code);
  }
  return with(".0.0");
}

smtp::Reply rejection(int code, std::string_view enhanced, const Topic& topic, std::string_view text) {
  std::string status(enhanced);
  // RFC 2034 §4: the classes of both codes agree.
  if (!status.empty() && status.front() != static_cast<char>('0' + code / 100)) {
    status = dsn::with_class(status, static_cast<char>('0' + code / 100));
  }
  return {.code = code,
          .enhanced = std::move(status),
          .text = fmt::format("<{}>: {} rejected: {}", topic.name, topic.kind, text)};
}

smtp::Reply as_temporary(smtp::Reply reply) {
  if (reply.code >= 500 && reply.code < 600) { reply.code -= 100; }
  if (reply.enhanced.starts_with('5')) { reply.enhanced.front() = '4'; }
  return reply;
}

}  // namespace stagepost::smtpd
