// See the header.
#include "commands/postfix/integrity.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/sys.hpp"
#include "commands/postfix/multi_instance.hpp"
#include "queue/directory.hpp"

namespace stagepost::postfix {
namespace {

Result<queue::Owners> find_owners(const config::Snapshot& config) {
  if (::geteuid() != 0) {
    return queue::Owners{.mail_owner = ::geteuid(), .mail_group = ::getegid(), .setgid_group = ::getegid()};
  }
  const std::string& owner = config.text("mail_owner");
  const passwd* user = ::getpwnam(owner.c_str());
  if (user == nullptr) { return failure(fmt::format("parameter mail_owner: unknown user name value: {}", owner)); }
  if (user->pw_uid == 0) { return failure(fmt::format("parameter mail_owner: user {} has privileged user ID", owner)); }
  queue::Owners owners{.mail_owner = user->pw_uid, .mail_group = user->pw_gid, .setgid_group = 0};
  const std::string& group_name = config.text("setgid_group");
  const group* setgid = ::getgrnam(group_name.c_str());
  if (setgid == nullptr) { return failure(fmt::format("parameter setgid_group: unknown group name: {}", group_name)); }
  if (setgid->gr_gid == 0 || setgid->gr_gid == owners.mail_group) {
    return failure(fmt::format("parameter setgid_group: group {} must be a group of its own", group_name));
  }
  owners.setgid_group = setgid->gr_gid;
  return owners;
}

std::string user_name(uid_t uid) {
  const passwd* user = ::getpwuid(uid);
  return user != nullptr ? user->pw_name : std::to_string(uid);
}

}  // namespace

Result<std::vector<Rule>> integrity_rules(const config::Snapshot& config) {
  SP_TRY(const queue::Owners owners, find_owners(config));
  const std::string& queue = config.text("queue_directory");
  constexpr mode_t kOthersWrite = S_IWGRP | S_IWOTH;
  const uid_t root = ::geteuid();
  std::vector<Rule> rules;
  rules.push_back({.path = config.config_directory(), .owner = root, .mode = 0755, .forbidden = kOthersWrite});
  for (const char* file : {"/main.cf", "/master.cf"}) {
    rules.push_back({.path = config.config_directory() + file, .owner = root, .mode = 0644, .forbidden = kOthersWrite});
  }
  rules.push_back({.path = queue, .owner = root, .mode = 0755, .forbidden = kOthersWrite});
  rules.push_back({.path = queue + "/pid", .owner = root, .mode = 0755, .forbidden = kOthersWrite});
  for (const char* name : {"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
                           "saved", "trace", "journal"}) {
    rules.push_back(
        {.path = queue + "/" + name, .owner = owners.mail_owner, .mode = 0700, .forbidden = S_IRWXG | S_IRWXO});
  }
  rules.push_back({.path = queue + "/maildrop",
                   .owner = owners.mail_owner,
                   .check_group = true,
                   .group = owners.setgid_group,
                   .mode = 0730,
                   .forbidden = S_IRGRP | S_IRWXO});
  rules.push_back({.path = queue + "/public",
                   .owner = owners.mail_owner,
                   .check_group = true,
                   .group = owners.setgid_group,
                   .mode = 0710,
                   .forbidden = S_IRGRP | S_IWGRP | S_IRWXO});
  rules.push_back(
      {.path = config.text("data_directory"), .owner = owners.mail_owner, .mode = 0700, .forbidden = kOthersWrite});
  // Instances that the default one lists share its programs, and it looks after them.
  if (is_secondary_instance(config)) { return rules; }
  for (const char* program : {"/postqueue", "/postdrop", "/postlog"}) {
    rules.push_back({.path = config.text("command_directory") + program,
                     .owner = root,
                     .check_group = true,
                     .group = owners.setgid_group,
                     .mode = 02755,
                     .forbidden = kOthersWrite,
                     .required = S_ISGID | S_IXUSR | S_IXGRP | S_IXOTH});
  }
  return rules;
}

Result<> create_missing(const config::Snapshot& config) {
  SP_TRY(const queue::Owners owners, find_owners(config));
  const queue::QueueDirectory directory(config.text("queue_directory"), {});
  SP_TRY(directory.create_all(owners));
  const std::string& data = config.text("data_directory");
  const auto made = sys::mkdir(data, 0700);
  if (!made) { return made.error().is(std::errc::file_exists) ? Result<>{} : made; }
  if (::geteuid() == 0 && ::chown(data.c_str(), owners.mail_owner, owners.mail_group) != 0) {
    return errno_failure("chown " + data);
  }
  return {};
}

std::vector<std::string> broken_rules(const std::vector<Rule>& rules, const config::Snapshot& config) {
  std::vector<std::string> warnings;
  const bool as_root = ::geteuid() == 0;
  for (const Rule& rule : rules) {
    const auto status = sys::stat(rule.path);
    if (!status) { continue; }
    if (status->st_uid != rule.owner) {
      warnings.push_back(fmt::format("not owned by {}: {}", user_name(rule.owner), rule.path));
    }
    if (as_root && rule.check_group && status->st_gid != rule.group) {
      warnings.push_back(fmt::format("not owned by group {}: {}", config.text("setgid_group"), rule.path));
    }
    if (as_root && (status->st_mode & rule.required) != rule.required) {
      warnings.push_back(fmt::format("not set-gid or not owner+group+world executable: {}", rule.path));
    }
    if ((status->st_mode & rule.forbidden) != 0) {
      warnings.push_back(fmt::format(
          "{}: {}", rule.forbidden == (S_IWGRP | S_IWOTH) ? "group or other writable" : "mode is too open", rule.path));
    }
  }
  return warnings;
}

Result<> repair(const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) {
    if (!sys::stat(rule.path)) { continue; }
    const gid_t group = rule.check_group ? rule.group : static_cast<gid_t>(-1);
    if (::geteuid() == 0 && ::chown(rule.path.c_str(), rule.owner, group) != 0) {
      return errno_failure("chown " + rule.path);
    }
    // After chown, which clears the set-group-ID bit.
    if (::chmod(rule.path.c_str(), rule.mode) != 0) { return errno_failure("chmod " + rule.path); }
  }
  return {};
}

}  // namespace stagepost::postfix
