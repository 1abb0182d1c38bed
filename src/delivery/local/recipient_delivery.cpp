#include "delivery/local/recipient_delivery.hpp"

#include "base/text.hpp"
#include "delivery/local/delivered_to.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"

namespace stagepost::local {
namespace {
/// Destinations one recipient may expand to, duplicates included: far more than any list has, and still an end for
/// aliases that multiply.
constexpr std::size_t kSteps = 1'000'000;
}  // namespace

RecipientDelivery::RecipientDelivery(const Agent& agent, delivery::Attempt& attempt, clients::RecipientRecord recipient)
    : agent_(agent),
      settings_(agent.settings),
      attempt_(attempt),
      config_(attempt.config()),
      recipient_(std::move(recipient)),
      forwarding_(attempt, agent.cleanup, settings_.delivered_to_forward ? recipient_.address : std::string()) {}

net::Task<> RecipientDelivery::run() {
  Scope scope;
  scope.recipient = recipient_;
  // What it expands to remembers where it came from.
  if (scope.recipient.original.empty()) { scope.recipient.original = recipient_.address; }
  scope.recipient.offset = 0;
  scope.sender = attempt_.request().sender;
  scope.delivered_to = recipient_.address;
  const auto looped = was_delivered_to(recipient_.address);
  Kind kind = Kind::deferred;
  if (!looped) {
    kind = co_await note(scope, Kind::deferred, "4.3.0", "cannot read the message: " + looped.error().message());
  } else if (*looped) {
    kind = co_await note(scope, Kind::bounced, "5.4.6", "mail forwarding loop for " + recipient_.address);
  } else {
    kind = co_await deliver_local(scope);
    if (kind != Kind::deferred) { kind = co_await finish_forwarding(); }
  }
  attempt_.settle(recipient_, kind);
}

net::Task<delivery::Kind> RecipientDelivery::note(const Scope& scope, Outcome outcome) {
  outcome.relay = "local";
  const Kind kind = co_await attempt_.note(scope.recipient, std::move(outcome));
  co_return kind;
}

net::Task<delivery::Kind> RecipientDelivery::note(const Scope& scope, Kind kind, std::string code, std::string text) {
  Outcome outcome;
  outcome.kind = kind;
  outcome.status = {std::move(code), std::move(text)};
  const Kind noted = co_await note(scope, std::move(outcome));
  co_return noted;
}

Result<bool> RecipientDelivery::was_delivered_to(const std::string& address) {
  SP_TRY(attempt_.reader().rewind_content(attempt_.envelope()));
  DeliveredToScan scan(address);
  for (;;) {
    SP_TRY(const auto line, attempt_.reader().next_line());
    if (!line || scan.feed(line->text, line->complete) == DeliveredToScan::Progress::end_of_header) { break; }
  }
  return scan.found();
}

bool RecipientDelivery::seen_before(std::string key) {
  if (seen_.contains(key)) { return true; }
  const auto limit = static_cast<std::size_t>(config_.integer("duplicate_filter_limit"));
  if (seen_.size() < limit) { seen_.insert(std::move(key)); }
  return false;
}

bool RecipientDelivery::propagates(Source source) const {
  using Use = maps::ExtensionUse;
  switch (source) {
    case Source::alias:
      return settings_.propagation.applies_to(Use::alias);
    case Source::forward:
      return settings_.propagation.applies_to(Use::forward);
    case Source::include:
      return settings_.propagation.applies_to(Use::include);
    case Source::recipient:
      break;
  }
  return false;
}

RecipientDelivery::LocalName RecipientDelivery::local_name(const Scope& scope) const {
  const std::string& address = scope.recipient.address;
  const std::size_t at = address.rfind('@');
  const std::string_view local_as_given = std::string_view(address).substr(0, at);
  LocalName name;
  name.local = mail::fold_case(local_as_given);
  const maps::SplitLocalPart split = maps::split_local_part(name.local, settings_.extension);
  const maps::SplitLocalPart given = maps::split_local_part(local_as_given, settings_.extension);
  name.names.user = split.user;
  name.names.local = name.local;
  name.names.domain = at == std::string::npos ? config_.text("myhostname") : text::to_lower(address.substr(at + 1));
  name.names.recipient = address;
  if (!split.extension.empty()) {
    name.delimiter = split.extension.substr(0, 1);
    const std::string_view extension = given.extension.empty() ? split.extension : given.extension;
    // It becomes part of file names: ~/.forward+extension.
    if (extension.contains('/')) {
      name.illegal_extension = true;
    } else {
      name.names.extension = text::to_lower(extension.substr(1));
    }
  }
  name.names.recipient_delimiter =
      name.delimiter.empty() ? settings_.extension.delimiters.substr(0, 1) : name.delimiter;
  return name;
}

net::Task<delivery::Kind> RecipientDelivery::deliver_local(Scope scope) {
  const auto by_alias = co_await deliver_alias(scope);
  if (by_alias) { co_return *by_alias; }
  const Kind kind = co_await deliver_user(scope);
  co_return kind;
}

net::Task<delivery::Kind> RecipientDelivery::deliver_destinations(Scope scope, std::vector<Destination> destinations) {
  Kind kind = Kind::sent;
  for (Destination& destination : destinations) {
    if (++steps_ > kSteps) {
      log::warning("{}: more than {} destinations", attempt_.request().queue_id, kSteps);
      const Kind stopped =
          co_await note(scope, Kind::deferred, "4.3.5", "mail system configuration error: too many destinations");
      co_return stopped;
    }
    const Kind one = co_await deliver_destination(scope, std::move(destination));
    kind = worst(kind, one);
  }
  co_return kind;
}

net::Task<delivery::Kind> RecipientDelivery::deliver_destination(const Scope& scope, Destination destination) {
  Kind kind = Kind::sent;
  switch (destination.kind) {
    case Destination::Kind::address:
      kind = co_await deliver_address(scope, std::move(destination.text));
      break;
    case Destination::Kind::command:
      if (!settings_.commands_allowed.contains(scope.source)) {
        kind = co_await note(scope, Kind::bounced, "5.7.1", "mail to command is restricted");
      } else {
        const LocalName name = local_name(scope);
        kind = co_await deliver_command(scope, name, std::move(destination.text));
      }
      break;
    case Destination::Kind::home: {
      const bool plain = destination.text.starts_with("~/");
      if (plain && scope.rights && !scope.rights->home.empty()) {
        destination.text = scope.rights->home + destination.text.substr(1);
      } else {
        log::warning("{}: {}", plain ? "unknown home directory for" : "bad home directory syntax for",
                     destination.text);
        kind = co_await note(scope, Kind::bounced, "5.3.5", "mail system configuration error");
        break;
      }
      [[fallthrough]];
    }
    case Destination::Kind::file:
      if (!settings_.files_allowed.contains(scope.source)) {
        kind = co_await note(scope, Kind::bounced, "5.7.1", "mail to file is restricted");
      } else {
        kind = co_await deliver_file(scope, std::move(destination.text));
      }
      break;
    case Destination::Kind::include:
      kind = co_await deliver_include(scope, destination.text);
      break;
  }
  co_return kind;
}

net::Task<Result<std::string>> RecipientDelivery::rewrite_internal(std::string external) {
  auto rewritten = co_await agent_.rewrite.rewrite(clients::RewriteContext::local, std::move(external));
  if (!rewritten) { co_return std::unexpected(std::move(rewritten.error())); }
  co_return mail::unquote_822_local(*rewritten);
}

net::Task<delivery::Kind> RecipientDelivery::deliver_address(const Scope& scope, std::string external) {
  using Resolved = clients::ResolveReply::Outcome;
  auto internal = co_await rewrite_internal(std::move(external));
  if (!internal) {
    log::warning("{}: {}", attempt_.request().queue_id, internal.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "address resolver failure");
    co_return kind;
  }
  if (!scope.extension.empty() && propagates(scope.source)) {
    internal = maps::with_extension(*internal, scope.extension);
  }
  const auto resolved = co_await agent_.rewrite.resolve(scope.sender, *internal);
  if (!resolved || resolved->outcome == Resolved::retry) {
    if (!resolved) { log::warning("{}: {}", attempt_.request().queue_id, resolved.error().message()); }
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "address resolver failure");
    co_return kind;
  }
  if (resolved->outcome == Resolved::bad_address) {
    const Kind kind = co_await note(scope, Kind::bounced, "5.1.3", "bad recipient address syntax: " + *internal);
    co_return kind;
  }
  Scope next = scope;
  next.recipient.address = resolved->recipient;
  if (resolved->transport != attempt_.request().transport) {
    const Kind kind = co_await forward(next);
    co_return kind;
  }
  if (!config_.boolean("frozen_delivered_to")) {
    next.delivered_to = next.recipient.address;
    const auto looped = was_delivered_to(next.delivered_to);
    if (looped && *looped) {
      const Kind kind =
          co_await note(next, Kind::bounced, "5.4.6", "mail forwarding loop for " + next.recipient.address);
      co_return kind;
    }
  }
  const Kind kind = co_await deliver_local(std::move(next));
  co_return kind;
}

/// The address goes into a new message instead.
net::Task<delivery::Kind> RecipientDelivery::forward(const Scope& scope) {
  clients::RecipientRecord recipient = scope.recipient;
  if (seen_before("@" + mail::fold_case(recipient.address))) { co_return Kind::sent; }
  if (probing()) {
    const Kind kind = co_await note(scope, Kind::sent, "2.0.0", "forwards to " + recipient.address);
    co_return kind;
  }
  if (scope.has_owner) {
    // A mailing list in the sense of RFC 3461 §5.2.7.1: its members are recipients of a new message.
    recipient.original.clear();
    recipient.dsn_original.clear();
  }
  const auto added = co_await forwarding_.add(scope.sender, std::move(recipient));
  if (added) { co_return Kind::sent; }
  log::warning("{}: {}", attempt_.request().queue_id, added.error().message());
  const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "unable to forward message");
  co_return kind;
}

net::Task<delivery::Kind> RecipientDelivery::finish_forwarding() {
  using Status = clients::CleanupResult::Status;
  Scope scope;
  scope.recipient = recipient_;
  scope.recipient.notify = 0;  // success was reported as expansion
  Kind kind = Kind::sent;
  for (;;) {
    const auto finished = co_await forwarding_.finish_one();
    if (finished && !*finished) { co_return kind; }
    // A message that cleanup refuses for good has been bounced by it (CleanupFlags::kCleanupBounce).
    const bool done =
        finished && ((*finished)->result.status == Status::ok || (*finished)->result.status == Status::discarded);
    if (!done) {
      if (!finished) { log::warning("{}: {}", attempt_.request().queue_id, finished.error().message()); }
      scope.recipient.notify = recipient_.notify;
      const Kind failed = co_await note(scope, Kind::deferred, "4.3.0", "unable to forward message");
      co_return failed;
    }
    Outcome outcome;
    outcome.status = {"2.0.0", "forwarded as " + (*finished)->queue_id};
    outcome.success_action = clients::RecipientReport::Action::relayed;
    const Kind one = co_await note(scope, std::move(outcome));
    kind = worst(kind, one);
  }
}

}  // namespace stagepost::local
