// Where expansion ends: mailboxes, files, commands, other transports, unknown users. See recipient_delivery.hpp.
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "delivery/command_line.hpp"
#include "delivery/command_run.hpp"
#include "delivery/local/mailbox_failure.hpp"
#include "delivery/local/recipient_delivery.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "net/blocking.hpp"

namespace stagepost::local {
namespace {

using delivery::Kind;

std::string joined(const std::string& directory, std::string_view name) {
  return directory.ends_with('/') ? directory + std::string(name) : directory + "/" + std::string(name);
}

/// The error as part of a status: for failures that explain themselves, without the errno text we gave them.
std::string reason(const Error& error) {
  const bool own = error.is(std::errc::too_many_links) || error.is(std::errc::not_supported) ||
                   error.is(std::errc::operation_not_permitted);
  return own && error.code.category() == std::generic_category() ? error.context : error.message();
}

Result<> check_home(const Account& account) {
  SP_TRY(const delivery::ActAs acting, delivery::ActAs::begin(account.identity));
  const auto st = sys::stat(account.home);
  if (!st) { return std::unexpected(Error{st.error().code, "cannot access home directory " + account.home}); }
  return {};
}

}  // namespace

delivery::Identity RecipientDelivery::command_rights(const Scope& scope) const {
  if (scope.rights && scope.rights->identity.uid != 0) { return scope.rights->identity; }
  return settings_.default_rights;
}

std::vector<std::string> RecipientDelivery::fields_in_front(const Scope& scope, bool from_line,
                                                            bool delivered_to) const {
  const std::string original = config_.boolean("enable_original_recipient") ? scope.recipient.original : std::string();
  auto fields = delivery::delivery_fields(scope.sender, original, scope.delivered_to);
  if (!delivered_to) { fields.pop_back(); }
  if (from_line) { fields.insert(fields.begin(), delivery::mbox_from_line(scope.sender)); }
  return fields;
}

net::Task<Kind> RecipientDelivery::deliver_user(const Scope& scope) {
  const LocalName name = local_name(scope);
  // What happens to a member of a list, or to another user that a ~/.forward names, must not repeat the delivery to
  // others: they get a message of their own.
  const bool foreign =
      scope.source == Source::forward && scope.rights && name.names.user != mail::fold_case(scope.rights->name);
  if (scope.resubmit || foreign) {
    const Kind kind = co_await forward(scope);
    co_return kind;
  }
  if (name.illegal_extension) {
    log::warning("{}: address with illegal extension: {}", attempt_.request().queue_id, name.local);
  }
  const auto account = find_account(name.names.user);
  if (!account) {
    log::warning("{}", account.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "user lookup error");
    co_return kind;
  }
  if (*account && config_.boolean("require_home_directory")) {
    const auto home = check_home(**account);
    if (!home) {
      const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", home.error().message());
      co_return kind;
    }
  }
  if (*account && !in_own_forward(scope, name)) {
    LocalName full = name;
    full.names.home = (*account)->home;
    full.names.shell = (*account)->shell;
    const auto forwarded = co_await deliver_forward_file(scope, full, **account);
    if (forwarded) { co_return *forwarded; }
  }
  // Only here, where nothing is expanded any more: a name on the way may come again.
  if (seen_before("user:" + mail::fold_case(scope.recipient.address))) { co_return Kind::sent; }
  const auto passed = co_await deliver_transport(scope, name.names.user, settings_.mailbox_transports,
                                                 config_.text("mailbox_transport"));
  if (passed) { co_return *passed; }
  if (!*account) {
    const Kind kind = co_await deliver_unknown(scope, name);
    co_return kind;
  }
  const Kind kind = co_await deliver_mailbox(scope, name, **account);
  co_return kind;
}

net::Task<std::optional<Kind>> RecipientDelivery::deliver_transport(const Scope& scope, const std::string& user,
                                                                    const maps::Chain& maps, std::string otherwise) {
  const auto found = co_await maps.find(user);
  if (!found) {
    log::warning("{}", found.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "table lookup failure");
    co_return kind;
  }
  if (*found) { otherwise = **found; }
  if (otherwise.empty()) { co_return std::nullopt; }
  const std::string& id = attempt_.request().queue_id;
  auto choice = parse_transport(otherwise, attempt_.request().nexthop);
  if (!choice) {
    log::warning("{}: {}", id, choice.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.5", "mail system configuration error");
    co_return kind;
  }
  log::info("{}: passing <{}> to transport={}", id, mail::quote_822_local(scope.recipient.address), choice->transport);
  const auto complete = co_await agent_.transports.deliver(attempt_, std::move(*choice), scope.sender, scope.recipient);
  if (!complete) {
    log::warning("{}: {}", id, complete.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "mail transport unavailable");
    co_return kind;
  }
  // The other agent has logged and reported.
  co_return *complete ? Kind::sent : Kind::deferred;
}

net::Task<Kind> RecipientDelivery::deliver_mailbox(const Scope& scope, const LocalName& name, const Account& account) {
  if (::geteuid() != 0 && account.identity.uid != ::geteuid()) {
    const Kind kind =
        co_await note(scope, Kind::deferred, "4.3.0",
                      "cannot deliver to user " + account.name + ": the mail system runs as another user");
    co_return kind;
  }
  const auto mapped = co_await settings_.mailbox_commands.find(name.names.user);
  if (!mapped) {
    log::warning("{}", mapped.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "table lookup failure");
    co_return kind;
  }
  std::string command = *mapped ? **mapped : config_.text("mailbox_command");
  if (!command.empty()) {
    Scope as_user = scope;
    as_user.rights = account;
    const Kind kind = co_await deliver_command(as_user, name, std::move(command));
    co_return kind;
  }
  const std::string& home_mailbox = config_.text("home_mailbox");
  std::string path;
  if (!home_mailbox.empty()) {
    path = joined(account.home, home_mailbox);
  } else {
    const std::string& spool = config_.text("mail_spool_directory");
    path = joined(spool, name.names.user) + (spool.ends_with('/') ? "/" : "");
  }
  Outcome outcome = probing() ? Outcome{} : write_mailbox(scope, path, account, home_mailbox.empty());
  if (probing()) { outcome.status = {"2.0.0", path.ends_with('/') ? "delivers to maildir" : "delivers to mailbox"}; }
  const Kind kind = co_await note(scope, std::move(outcome));
  co_return kind;
}

delivery::Outcome RecipientDelivery::write_mailbox(const Scope& scope, const std::string& path, const Account& account,
                                                   bool system_spool) {
  const bool maildir = path.ends_with('/');
  const delivery::MailboxLimits limits{.size_limit_bytes =
                                           static_cast<std::uint64_t>(config_.integer("mailbox_size_limit"))};
  const delivery::CopyOptions options{.prepend = fields_in_front(scope, !maildir, settings_.delivered_to_file),
                                      .mbox = !maildir};
  Result<> written;
  std::string name = path;
  while (maildir && name.size() > 1 && name.ends_with('/')) { name.pop_back(); }
  if (maildir) {
    written =
        delivery::deliver_to_maildir(name, account.identity, attempt_.reader(), attempt_.envelope(), options, limits);
  } else {
    const delivery::MailboxRules rules{.system_spool = system_spool,
                                       .own_file = config_.boolean("strict_mailbox_ownership")};
    written = delivery::deliver_to_mailbox(name, account.identity, attempt_.reader(), attempt_.envelope(), options,
                                           limits, settings_.locks, rules);
  }
  if (written) {
    Outcome outcome;
    outcome.status = {"2.0.0", maildir ? "delivered to maildir" : "delivered to mailbox"};
    return outcome;
  }
  Outcome outcome = mailbox_failure(written.error());
  if (maildir) {
    if (written.error().is(std::errc::permission_denied)) {
      log::warning("maildir access problem for UID/GID={}/{}: {}", account.identity.uid, account.identity.gid,
                   written.error().message());
      log::warning("perhaps you need to create the maildirs in advance");
    }
    outcome.status.text = "maildir delivery failed: " + reason(written.error());
    return outcome;
  }
  if (written.error().is(std::errc::operation_not_permitted)) {
    log::warning("specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch");
  }
  outcome.status.text =
      fmt::format("cannot update mailbox {} for user {}. {}", name, account.name, reason(written.error()));
  return outcome;
}

net::Task<Kind> RecipientDelivery::deliver_unknown(const Scope& scope, const LocalName& name) {
  const std::string& user = name.names.user;
  const auto passed =
      co_await deliver_transport(scope, user, settings_.fallback_transports, config_.text("fallback_transport"));
  if (passed) { co_return *passed; }
  const std::string& relay = config_.text("luser_relay");
  if (!relay.empty() && !scope.by_luser_relay) {
    const auto address = expand_names(relay, name.names, "");
    if (!address) {
      log::warning("luser_relay: {}", address.error().message());
      const Kind kind = co_await note(scope, Kind::deferred, "4.3.5", "mail system configuration error");
      co_return kind;
    }
    Scope next = scope;
    next.source = Source::recipient;
    next.by_luser_relay = true;
    next.depth = scope.depth + 1;
    next.extension.clear();
    const Kind kind = co_await deliver_address(next, mail::quote_822_local(mail::unquote_822_local(address->text)));
    co_return kind;
  }
  if (user == "mailer-daemon" || user == "postmaster") {
    log::warning("required alias not found: {}", user);
    const Kind kind = co_await note(scope, Kind::sent, "2.0.0", "discarded");
    co_return kind;
  }
  const Kind kind = co_await note(scope, Kind::bounced, "5.1.1", "unknown user: \"" + user + "\"");
  co_return kind;
}

net::Task<Kind> RecipientDelivery::deliver_command(const Scope& scope, const LocalName& name, std::string command) {
  const delivery::Identity rights = command_rights(scope);
  if (seen_before(fmt::format("|{}:{}", rights.uid, command))) { co_return Kind::sent; }
  if (probing()) {
    const Kind kind = co_await note(scope, Kind::sent, "2.0.0", "delivers to command: " + command);
    co_return kind;
  }
  const delivery::DeliverRequest& request = attempt_.request();
  CommandFacts facts{.names = name.names,
                     .original_recipient = scope.recipient.original,
                     .sender = scope.sender,
                     .envid = request.dsn_envid,
                     .client_address = request.client_address,
                     .client_helo = request.client_helo,
                     .client_hostname = request.client_name,
                     .client_protocol = request.client_protocol,
                     .sasl_method = request.sasl_method,
                     .sasl_sender = request.sasl_sender,
                     .sasl_username = request.sasl_username};
  if (scope.rights) {
    facts.names.home = scope.rights->home;
    facts.names.shell = scope.rights->shell;
  }
  const auto directory = expand_names(config_.text("command_execution_directory"), facts.names,
                                      config_.text("execution_directory_expansion_filter"));
  if (!directory) {
    log::warning("command_execution_directory: {}", directory.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.5", "mail system configuration error");
    co_return kind;
  }
  const delivery::CommandPlan plan{
      .arguments = delivery::command_arguments(command, config_.text("local_command_shell")),
      .environment =
          command_environment(facts, settings_.exported_environment, config_.text("command_expansion_filter")),
      .identity = rights,
      .directory = directory->text,
      .time_limit = config_.seconds("command_time_limit")};
  const delivery::CopyOptions options{.prepend = fields_in_front(scope, true, settings_.delivered_to_command)};
  const auto job = [&] {
    return delivery::run_command(plan, [&](delivery::ContentTarget& target) {
      return delivery::copy_content(attempt_.reader(), attempt_.envelope(), options, target);
    });
  };
  const auto end = co_await net::run_blocking(agent_.loop, job);
  Outcome outcome;
  if (!end) {
    log::warning("{}: {}", request.queue_id, end.error().message());
    outcome.kind = Kind::deferred;
    outcome.status = {"4.3.0", "cannot run command: " + end.error().message()};
  } else {
    outcome = delivery::command_outcome(*end, command);
    if (outcome.kind == Kind::sent) { outcome.status.text = "delivered to command: " + command; }
  }
  const Kind kind = co_await note(scope, std::move(outcome));
  co_return kind;
}

net::Task<Kind> RecipientDelivery::deliver_file(const Scope& scope, std::string path) {
  const delivery::Identity rights = command_rights(scope);
  if (seen_before(fmt::format("/{}:{}", rights.uid, path))) { co_return Kind::sent; }
  const bool maildir = path.ends_with('/');
  if (probing()) {
    const Kind kind =
        co_await note(scope, Kind::sent, "2.0.0", maildir ? "delivers to maildir" : "delivers to file: " + path);
    co_return kind;
  }
  if (maildir) {
    Outcome outcome = write_mailbox(scope, path, Account{"", rights, "", ""}, false);
    const Kind kind = co_await note(scope, std::move(outcome));
    co_return kind;
  }
  const delivery::MailboxLimits limits{.size_limit_bytes =
                                           static_cast<std::uint64_t>(config_.integer("mailbox_size_limit"))};
  const delivery::CopyOptions options{.prepend = fields_in_front(scope, true, settings_.delivered_to_file),
                                      .mbox = true};
  const auto written = delivery::deliver_to_mailbox(path, rights, attempt_.reader(), attempt_.envelope(), options,
                                                    limits, settings_.locks, {.any_file = true});
  Outcome outcome;
  if (written) {
    outcome.status = {"2.0.0", "delivered to file: " + path};
  } else {
    outcome = mailbox_failure(written.error());
    outcome.status.text = "cannot append message to file " + path + ": " + reason(written.error());
  }
  const Kind kind = co_await note(scope, std::move(outcome));
  co_return kind;
}

}  // namespace stagepost::local
