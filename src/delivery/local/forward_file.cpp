// ~/.forward and :include: files. See recipient_delivery.hpp.
#include <algorithm>

#include "base/text.hpp"
#include "config/snapshot.hpp"
#include "delivery/local/destination_file.hpp"
#include "delivery/local/notify.hpp"
#include "delivery/local/recipient_delivery.hpp"
#include "log/log.hpp"

namespace stagepost::local {
namespace {
/// :include: files in :include: files; the same measure as for aliases.
constexpr unsigned kIncludeDepth = 25;
/// Files that include each other several times end here instead.
constexpr std::size_t kIncludes = 100'000;

bool is_missing(const Error& error) {
  return error.is(std::errc::no_such_file_or_directory) || error.is(std::errc::not_a_directory);
}
}  // namespace

DestinationFileLimits RecipientDelivery::file_limits() const {
  return {.line_octets = static_cast<std::size_t>(std::max<std::int64_t>(config_.integer("line_length_limit"), 1))};
}

/// The scope of what takes this recipient's place: success is reported here, and only here.
net::Task<RecipientDelivery::Scope> RecipientDelivery::expanded(const Scope& scope) {
  Scope next = scope;
  if (!probing()) { co_await attempt_.note_expansion(scope.recipient, "alias expanded"); }
  next.recipient.notify = notify_after_expansion(scope.recipient.notify);
  co_return next;
}

net::Task<std::optional<delivery::Kind>> RecipientDelivery::deliver_forward_file(const Scope& scope,
                                                                                 const LocalName& name,
                                                                                 const Account& account) {
  const std::string& filter = config_.text("forward_expansion_filter");
  for (const std::string& pattern : config::split_list(config_.text("forward_path"))) {
    const auto path = expand_names(pattern, name.names, filter);
    if (!path) {
      log::warning("forward_path: {}", path.error().message());
      const Kind kind = co_await note(scope, Kind::deferred, "4.3.5", "mail system configuration error");
      co_return kind;
    }
    if (!path->text.starts_with('/')) { continue; }
    auto file = read_destination_file(path->text, account.identity, file_limits());
    if (!file && (is_missing(file.error()) || file.error().is(std::errc::permission_denied))) { continue; }
    if (!file) {
      // A file that says nothing trustworthy is no reason to hold the mail; one that can't be read now may say where
      // it goes.
      const bool untrusted = file.error().is(std::errc::operation_not_permitted) ||
                             file.error().is(std::errc::not_supported) ||
                             file.error().is(std::errc::too_many_symbolic_link_levels);
      log::warning("{}", untrusted ? file.error().context : file.error().message());
      if (untrusted) { co_return std::nullopt; }
      const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "cannot read " + path->text);
      co_return kind;
    }
    if (file->owner.uid != 0 && file->owner.uid != account.identity.uid) {
      log::warning("file {} has bad owner uid {}", path->text, file->owner.uid);
      co_return std::nullopt;
    }
    if (file->destinations.empty()) { co_return std::nullopt; }
    Scope next = co_await expanded(scope);
    next.source = Source::forward;
    next.forwards.push_back(name.local);
    next.depth = scope.depth + 1;
    next.rights = account;
    next.extension.clear();
    if (!path->used_extension && !name.names.extension.empty()) {
      next.extension = name.delimiter + name.names.extension;
    }
    const Kind kind = co_await deliver_destinations(std::move(next), std::move(file->destinations));
    co_return kind;
  }
  co_return std::nullopt;
}

net::Task<delivery::Kind> RecipientDelivery::deliver_include(const Scope& scope, const std::string& path) {
  const auto refuse = [&](std::string line) {
    log::warning("{}", line);
    return note(scope, Kind::bounced, "5.3.5", "mail system configuration error");
  };
  if (!path.starts_with('/')) {
    const Kind kind = co_await refuse(":include:" + path + " uses a relative path");
    co_return kind;
  }
  if (scope.depth >= kIncludeDepth || ++expansions_ > kIncludes) {
    const Kind kind = co_await refuse(":include: file loop for " + path);
    co_return kind;
  }
  std::optional<delivery::Identity> reader;
  if (scope.rights) { reader = scope.rights->identity; }
  auto file = read_destination_file(path, reader, file_limits());
  if (!file) {
    const Error& error = file.error();
    const bool untrusted = error.is(std::errc::operation_not_permitted) || error.is(std::errc::not_supported);
    if (untrusted && error.context.starts_with("file ")) {
      const Kind kind = co_await refuse(":include: " + error.context);
      co_return kind;
    }
    if (is_missing(error) || error.is(std::errc::permission_denied)) {
      const Kind kind = co_await refuse("unable to lookup :include: file " + path + ": " + error.code.message());
      co_return kind;
    }
    log::warning(":include: file {}: {}", path, error.message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "cannot read :include: file");
    co_return kind;
  }
  Scope next = scope;
  next.source = Source::include;
  next.resubmit = true;
  next.depth = scope.depth + 1;
  // A file of root's speaks for whoever named it.
  if (file->owner.uid != 0) {
    auto account = find_account(file->owner.uid);
    if (!account) {
      log::warning("{}", account.error().message());
      const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "cannot read :include: file");
      co_return kind;
    }
    next.rights = *account ? std::move(**account) : Account{"", file->owner, "", ""};
  }
  const Kind kind = co_await deliver_destinations(std::move(next), std::move(file->destinations));
  co_return kind;
}

}  // namespace stagepost::local
