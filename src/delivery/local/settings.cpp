#include "delivery/local/settings.hpp"

#include <cstdlib>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "delivery/local/accounts.hpp"
#include "delivery/local/names.hpp"
#include "log/log.hpp"
#include "maps/context.hpp"

namespace stagepost::local {
namespace {

Result<delivery::Identity> find_default_rights(const config::Snapshot& config) {
  // Commands and files belong to the one user there is.
  if (::geteuid() != 0) { return delivery::Identity{::geteuid(), ::getegid()}; }
  const std::string& name = config.text("default_privs");
  SP_TRY(const auto account, find_account(name));
  if (!account) { return failure("default_privs: unknown user " + name); }
  if (account->identity.uid == 0 || account->identity.gid == 0) {
    return failure("default_privs: privileged user " + name);
  }
  SP_TRY(const auto owner, find_account(config.text("mail_owner")));
  if (owner && owner->identity.uid == account->identity.uid) {
    return failure("default_privs: " + name + " is the mail system's own user");
  }
  return account->identity;
}

}  // namespace

Result<std::set<Source>> parse_sources(std::string_view parameter, std::string_view list) {
  std::set<Source> sources;
  for (const std::string_view word : text::split(list, ", \t\r\n")) {
    if (word == "alias") {
      sources.insert(Source::alias);
    } else if (word == "forward") {
      sources.insert(Source::forward);
    } else if (word == "include") {
      sources.insert(Source::include);
    } else {
      return failure(std::string(parameter) + ": unknown word \"" + std::string(word) + "\"");
    }
  }
  return sources;
}

Result<uid_t> table_owner(const std::string& type_and_name) {
  std::string_view table = type_and_name;
  // Opened here all the same.
  while (table.starts_with("proxy:")) { table.remove_prefix(std::string_view("proxy:").size()); }
  const std::size_t colon = table.find(':');
  if (colon == std::string_view::npos) { return uid_t{0}; }
  const std::string_view type = table.substr(0, colon);
  std::string path(table.substr(colon + 1));
  if (type == "lmdb" || type == "cdb") {
    path += "." + std::string(type);
  } else if (type == "hash" || type == "btree") {
    path += ".db";
  } else if (type == "dbm") {
    path += ".pag";
  } else if (type != "texthash" && type != "regexp" && type != "pcre" && type != "cidr") {
    return uid_t{0};
  }
  SP_TRY(const auto st, sys::stat(path));
  return st.st_uid;
}

Result<Settings> Settings::create(const config::Snapshot& config, maps::OpenContext context) {
  Settings settings;
  // $1 of a pattern table must not choose a command, file or transport.
  context.substitution = maps::Substitution::forbidden;
  // What chooses commands, files and users is never asked through proxymap (local(8), SECURITY).
  context.security_sensitive = true;
  SP_TRY(settings.aliases, maps::Chain::open("alias_maps", config.text("alias_maps"), context));
  const auto open = [&](std::string_view name) { return maps::Chain::open(name, config.text(name), context); };
  SP_TRY(settings.mailbox_transports, open("mailbox_transport_maps"));
  SP_TRY(settings.fallback_transports, open("fallback_transport_maps"));
  SP_TRY(settings.mailbox_commands, open("mailbox_command_maps"));
  settings.extension = maps::extension_rule(config);
  settings.propagation = maps::extension_propagation(config);
  SP_TRY(settings.commands_allowed, parse_sources("allow_mail_to_commands", config.text("allow_mail_to_commands")));
  SP_TRY(settings.files_allowed, parse_sources("allow_mail_to_files", config.text("allow_mail_to_files")));
  for (const std::string& word : config.list("prepend_delivered_header")) {
    if (word == "command") {
      settings.delivered_to_command = true;
    } else if (word == "file") {
      settings.delivered_to_file = true;
    } else if (word == "forward") {
      settings.delivered_to_forward = true;
    } else {
      return failure("prepend_delivered_header: unknown word \"" + word + "\"");
    }
  }
  SP_TRY(settings.default_rights, find_default_rights(config));
  SP_TRY(auto styles, delivery::parse_lock_styles(config.text("mailbox_delivery_lock")));
  settings.locks = {.styles = std::move(styles),
                    .attempts = static_cast<unsigned>(config.integer("deliver_lock_attempts")),
                    .delay = config.seconds("deliver_lock_delay"),
                    .stale_lock_time = config.seconds("stale_lock_time")};
  settings.exported_environment =
      local::exported_environment(config.list("export_environment"), [](const char* name) -> const char* {
        return std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here changes the environment
      });
  return settings;
}

}  // namespace stagepost::local
