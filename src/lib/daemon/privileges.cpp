// See the header.
#include "daemon/privileges.hpp"

#include <array>
#include <grp.h>
#include <memory>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <fmt/core.h>

#include "log/log.hpp"

namespace stagepost::daemon {
namespace {

/// What a delivery agent needs as root before it becomes the recipient, and nothing for kernel, network or devices.
constexpr std::array kBecomeUser{CAP_SETUID,       CAP_SETGID,          CAP_CHOWN, CAP_FOWNER,
                                 CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL,  CAP_SYS_CHROOT};

Result<> keep_capabilities() {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> wanted(::cap_init(), ::cap_free);
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> current(::cap_get_proc(), ::cap_free);
  if (!wanted || !current) { return errno_failure("cap_init"); }
  for (const cap_value_t capability : kBecomeUser) {
    // A container may have taken some of them already; asking for more than we have would fail.
    cap_flag_value_t have = CAP_CLEAR;
    if (::cap_get_flag(current.get(), capability, CAP_PERMITTED, &have) != 0 || have == CAP_CLEAR) { continue; }
    for (const cap_flag_t flag : {CAP_PERMITTED, CAP_EFFECTIVE}) {
      if (::cap_set_flag(wanted.get(), flag, 1, &capability, CAP_SET) != 0) { return errno_failure("cap_set_flag"); }
    }
  }
  if (::cap_set_proc(wanted.get()) != 0) { return errno_failure("cap_set_proc"); }
  return {};
}

Result<> become(const std::string& user, const std::string& chroot_directory) {
  // Looked up before chroot: the jail may have no user database.
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr) { return failure(fmt::format("unknown user: {}", user)); }
  const uid_t uid = entry->pw_uid;
  const gid_t gid = entry->pw_gid;
  if (uid == 0 || gid == 0) { return failure(fmt::format("user {} has privileged user or group ID", user)); }
  if (::initgroups(user.c_str(), gid) != 0) { return errno_failure("initgroups " + user); }
  if (!chroot_directory.empty() && (::chroot(chroot_directory.c_str()) != 0 || ::chdir("/") != 0)) {
    return errno_failure("chroot " + chroot_directory);
  }
  if (::setgid(gid) != 0 || ::setuid(uid) != 0) { return errno_failure("setuid " + user); }
  if (::setuid(0) == 0 || ::setgid(0) == 0 || ::getuid() != uid || ::geteuid() != uid || ::getegid() != gid) {
    return failure("privileges can be regained after setuid " + user);
  }
  return {};
}

}  // namespace

Result<> drop_privileges(const PrivilegePlan& plan) {
  if (::geteuid() != 0) { return {}; }
  if (!plan.user.empty()) { return become(plan.user, plan.chroot_directory); }
  if (!plan.chroot_directory.empty() && (::chroot(plan.chroot_directory.c_str()) != 0 || ::chdir("/") != 0)) {
    return errno_failure("chroot " + plan.chroot_directory);
  }
  return plan.keep_become_user ? keep_capabilities() : Result<>{};
}

}  // namespace stagepost::daemon
