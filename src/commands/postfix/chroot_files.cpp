#include "commands/postfix/chroot_files.hpp"

#include <algorithm>
#include <sys/stat.h>

#include "base/sys.hpp"

namespace stagepost::postfix {
namespace {

constexpr const char* kNames[] = {"hosts", "nsswitch.conf", "resolv.conf", "services"};
constexpr std::size_t kFileOctets = 16U << 20U;

}  // namespace

bool uses_chroot(const config::MasterCf& master_cf) {
  return std::ranges::any_of(master_cf.services, [](const config::ServiceEntry& entry) { return entry.chroot; });
}

Result<std::vector<std::string>> fill_chroot(const std::string& etc, const std::string& queue_directory) {
  std::vector<std::string> copied;
  const std::string target = queue_directory + "/etc";
  for (const char* name : kNames) {
    auto content = sys::read_file(etc + "/" + name, kFileOctets);
    if (!content) {
      if (content.error().is(std::errc::no_such_file_or_directory)) { continue; }
      return std::unexpected(content.error());
    }
    const std::string path = target + "/" + name;
    const auto present = sys::read_file(path, kFileOctets);
    if (present && *present == *content) { continue; }
    const auto made = sys::mkdir(target, 0755);
    if (!made && !made.error().is(std::errc::file_exists)) { return std::unexpected(made.error()); }
    SP_TRY(sys::replace_file(path, *content, 0644));
    copied.emplace_back(name);
  }
  return copied;
}

}  // namespace stagepost::postfix
