#include "delivery/local/accounts.hpp"

#include <cerrno>
#include <functional>
#include <pwd.h>
#include <vector>

namespace stagepost::local {
namespace {

constexpr std::size_t kEntryOctets = 1U << 20U;

using Query = std::function<int(passwd*, char*, std::size_t, passwd**)>;

Result<std::optional<Account>> find(const Query& query, const std::string& what) {
  std::vector<char> buffer(4096);
  for (;;) {
    passwd entry{};
    passwd* found = nullptr;
    const int error = query(&entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) { continue; }
    if (error == ERANGE && buffer.size() < kEntryOctets) {
      buffer.resize(buffer.size() * 2);
      continue;
    }
    // Some name services report "not there" as an error (getpwnam(3), NOTES).
    if (found == nullptr && (error == 0 || error == ENOENT || error == ESRCH)) { return std::nullopt; }
    if (found == nullptr) { return errno_failure(error, "look up account of " + what); }
    const auto text = [](const char* s) { return std::string(s == nullptr ? "" : s); };
    return Account{text(entry.pw_name), {entry.pw_uid, entry.pw_gid}, text(entry.pw_dir), text(entry.pw_shell)};
  }
}

}  // namespace

Result<std::optional<Account>> find_account(const std::string& name) {
  // A name with NUL would be cut at it and be another name.
  if (name.empty() || name.contains('\0')) { return std::nullopt; }
  return find([&](passwd* entry, char* buffer, std::size_t size,
                  passwd** found) { return ::getpwnam_r(name.c_str(), entry, buffer, size, found); },
              name);
}

Result<std::optional<Account>> find_account(uid_t uid) {
  return find([&](passwd* entry, char* buffer, std::size_t size,
                  passwd** found) { return ::getpwuid_r(uid, entry, buffer, size, found); },
              "uid " + std::to_string(uid));
}

}  // namespace stagepost::local
