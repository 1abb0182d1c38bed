// Any line is a command or a proper reply; accepted values hold no control bytes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "mail/smtp_command.hpp"

namespace {

void check_reply(const stagepost::smtp::Reply& reply) {
  SP_ASSERT(reply.code >= 500 && reply.code < 600 && reply.enhanced.starts_with("5.") && !reply.text.empty());
  const std::string wire = stagepost::smtp::format_reply(reply);
  SP_ASSERT(wire.size() < 512 && wire.find('\n') == wire.rfind('\n'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::smtp;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const Command command = parse_command(input.substr(0, input.find('\n')));
  (void)verb_name(command.verb);
  for (const bool strict : {false, true}) {
    const CommandOptions options{.strict_rfc821_envelopes = strict,
                                 .strict_smtputf8 = strict,
                                 .xverp = true,
                                 .requiretls = true,
                                 .message_size_limit = 10240000};
    if (const auto mail = parse_mail(command.argument, options); mail) {
      SP_ASSERT(!mail->envid || mail->envid->find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
    } else {
      check_reply(mail.error());
    }
    if (const auto rcpt = parse_rcpt(command.argument, options); rcpt) {
      SP_ASSERT(!rcpt->recipient.is_null());
      SP_ASSERT(!rcpt->orcpt || rcpt->orcpt->address.find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
    } else {
      check_reply(rcpt.error());
    }
  }
  if (const auto bdat = parse_bdat(command.argument); !bdat) { check_reply(bdat.error()); }
  return 0;
}
