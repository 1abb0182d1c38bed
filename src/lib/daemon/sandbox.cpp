// See the header.
#include "daemon/sandbox.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <linux/landlock.h>
#include <memory>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/result.hpp"
#include "base/sys.hpp"

namespace stagepost::daemon {
namespace {

/// Never needed by a mail daemon, often by those who break into one.
constexpr std::array kForbidden{SCMP_SYS(ptrace),
                                SCMP_SYS(process_vm_readv),
                                SCMP_SYS(process_vm_writev),
                                SCMP_SYS(mount),
                                SCMP_SYS(umount2),
                                SCMP_SYS(pivot_root),
                                SCMP_SYS(move_mount),
                                SCMP_SYS(open_tree),
                                SCMP_SYS(fsopen),
                                SCMP_SYS(setns),
                                SCMP_SYS(unshare),
                                SCMP_SYS(kexec_load),
                                SCMP_SYS(init_module),
                                SCMP_SYS(finit_module),
                                SCMP_SYS(delete_module),
                                SCMP_SYS(bpf),
                                SCMP_SYS(perf_event_open),
                                SCMP_SYS(userfaultfd),
                                SCMP_SYS(keyctl),
                                SCMP_SYS(add_key),
                                SCMP_SYS(request_key),
                                SCMP_SYS(swapon),
                                SCMP_SYS(swapoff),
                                SCMP_SYS(reboot),
                                SCMP_SYS(open_by_handle_at),
                                SCMP_SYS(acct),
                                SCMP_SYS(settimeofday),
                                SCMP_SYS(clock_settime),
                                SCMP_SYS(io_uring_setup),
                                SCMP_SYS(personality)};

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SP_LEAK_CHECKER 1
#endif
#endif
#ifdef SP_LEAK_CHECKER
constexpr bool kLeakChecker = true;
#else
constexpr bool kLeakChecker = false;
#endif

int forbid_truncation(scmp_filter_ctx filter) {
  const auto with_flag = [filter](int call, unsigned argument) {
    const scmp_arg_cmp empties{.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = O_TRUNC, .datum_b = O_TRUNC};
    return ::seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &empties);
  };
  if (const int error = with_flag(SCMP_SYS(open), 1); error != 0 && error != -EDOM) { return error; }
  if (const int error = with_flag(SCMP_SYS(openat), 2); error != 0) { return error; }
  // Its flags are where a filter cannot look; the C library does not use it.
  if (const int error = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0); error != 0) {
    return error;
  }
  return ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(truncate), 0);
}

Result<> filter_system_calls(const SandboxPlan& plan) {
  const std::unique_ptr<void, void (*)(void*)> filter(::seccomp_init(SCMP_ACT_ALLOW), ::seccomp_release);
  if (!filter) { return failure("seccomp_init failed"); }
  const auto forbid = [&](int call) { return ::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), call, 0); };
  for (const int call : kForbidden) {
    // The leak checker of a sanitizer build traces its own process at exit.
    if (kLeakChecker && call == SCMP_SYS(ptrace)) { continue; }
    if (const int error = forbid(call); error != 0 && error != -EDOM) {
      return errno_failure(-error, "seccomp_rule_add");
    }
  }
  if (!plan.allow_exec) {
    for (const int call : {SCMP_SYS(execve), SCMP_SYS(execveat)}) {
      if (const int error = forbid(call); error != 0) { return errno_failure(-error, "seccomp_rule_add exec"); }
    }
  }
  if (plan.forbid_truncation) {
    if (const int error = forbid_truncation(filter.get()); error != 0) {
      return errno_failure(-error, "seccomp_rule_add truncate");
    }
  }
  if (!plan.allow_network) {
    for (const int family : {AF_INET, AF_INET6, AF_PACKET}) {
      const scmp_arg_cmp is_family{
          .arg = 0, .op = SCMP_CMP_EQ, .datum_a = static_cast<scmp_datum_t>(family), .datum_b = 0};
      if (const int error =
              ::seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, &is_family);
          error != 0) {
        return errno_failure(-error, "seccomp_rule_add socket");
      }
    }
  }
  if (const int error = ::seccomp_load(filter.get()); error != 0) { return errno_failure(-error, "seccomp_load"); }
  return {};
}

constexpr std::uint64_t kWriteRights = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                       LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                       LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                       LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                       LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
// Not in the 6.1 headers; bit 14 since ABI 3 (Linux 6.2).
constexpr std::uint64_t kTruncate = 1ULL << 14;

Result<> allow_writing(int ruleset, const std::string& path, std::uint64_t rights) {
  SP_TRY(const unique_fd fd, sys::open(path, O_PATH));
  SP_TRY(const struct stat status, sys::fstat(fd.get()));
  landlock_path_beneath_attr rule{};
  const std::uint64_t file_rights = (LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate) & rights;
  rule.allowed_access = S_ISDIR(status.st_mode) ? rights : file_rights;
  rule.parent_fd = fd.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return errno_failure("landlock_add_rule " + path);
  }
  return {};
}

Result<> restrict_writing(const SandboxPlan& plan) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0) { return errno_failure("landlock"); }
  if (abi < 2 && plan.writable_paths.size() > 1) {
    return failure("landlock: this kernel's version cannot allow renaming between two directories");
  }
  const bool truncation = abi >= 3 && !plan.forbid_truncation;
  const std::uint64_t rights =
      kWriteRights | (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0ULL) | (truncation ? kTruncate : 0ULL);
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = rights;
  const unique_fd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset) { return errno_failure("landlock_create_ruleset"); }
  for (const std::string& path : plan.writable_paths) {
    auto allowed = allow_writing(ruleset.get(), path, rights);
    if (!allowed && !allowed.error().is(std::errc::no_such_file_or_directory)) { return allowed; }
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) { return errno_failure("landlock_restrict_self"); }
  return {};
}

}  // namespace

std::vector<std::string> enter_sandbox(const SandboxPlan& plan) {
  std::vector<std::string> missing;
  // A command run for a recipient may have to be set-group-ID (sendmail -> postdrop), so only daemons that run none
  // can renounce new privileges, and the filters below need that renunciation.
  if (plan.allow_exec) { return {"no sandbox: this program runs commands"}; }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    missing.push_back(errno_failure("no_new_privs").error().message());
  }
  if (plan.restrict_paths) {
    if (const auto done = restrict_writing(plan); !done) { missing.push_back(done.error().message()); }
  }
  if (const auto done = filter_system_calls(plan); !done) { missing.push_back(done.error().message()); }
  return missing;
}

}  // namespace stagepost::daemon
