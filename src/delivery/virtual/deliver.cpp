#include "delivery/virtual/deliver.hpp"

#include "log/log.hpp"

namespace stagepost::virtual_agent {

using delivery::Kind;
using delivery::Outcome;

Outcome outcome_of_failure(const Error& error, const Mailbox& mailbox) {
  Outcome outcome;
  outcome.relay = "virtual";
  const bool full = error.is(std::errc::file_too_large) || error.code.value() == EDQUOT;
  outcome.kind = full ? Kind::bounced : Kind::deferred;
  outcome.status.code = full ? "5.2.2" : "4.2.0";
  if (error.is(std::errc::resource_unavailable_try_again)) { outcome.status.code = "4.2.0"; }
  if (error.is(std::errc::no_space_on_device)) { outcome.status.code = "4.2.2"; }
  const std::string what =
      mailbox.maildir ? "maildir delivery failed: " : "delivery failed to mailbox " + mailbox.path + ": ";
  outcome.status.text = what + error.message();
  return outcome;
}

Outcome deliver_to(const Mailbox& mailbox, delivery::Attempt& attempt, const clients::RecipientRecord& recipient,
                   const delivery::LockPolicy& locks) {
  const std::string& sender = attempt.request().sender;
  const delivery::MailboxLimits limits{
      .size_limit_bytes = static_cast<std::uint64_t>(attempt.config().integer("virtual_mailbox_limit"))};
  const std::string& original = recipient.original;
  delivery::CopyOptions options{.prepend = delivery::delivery_fields(sender, original, recipient.address),
                                .mbox = !mailbox.maildir};
  Result<> delivered;
  if (mailbox.maildir) {
    delivered = delivery::deliver_to_maildir(mailbox.path, mailbox.identity, attempt.reader(), attempt.envelope(),
                                             options, limits);
  } else {
    options.prepend.insert(options.prepend.begin(), delivery::mbox_from_line(sender));
    delivered = delivery::deliver_to_mailbox(mailbox.path, mailbox.identity, attempt.reader(), attempt.envelope(),
                                             options, limits, locks);
  }
  if (!delivered) {
    if (mailbox.maildir && delivered.error().is(std::errc::permission_denied)) {
      log::warning("maildir access problem for UID/GID={}/{}: {}", mailbox.identity.uid, mailbox.identity.gid,
                   delivered.error().message());
      log::warning("perhaps you need to create the maildirs in advance");
    }
    return outcome_of_failure(delivered.error(), mailbox);
  }
  Outcome outcome;
  outcome.relay = "virtual";
  outcome.status = {"2.0.0", mailbox.maildir ? "delivered to maildir" : "delivered to mailbox"};
  return outcome;
}

}  // namespace stagepost::virtual_agent
