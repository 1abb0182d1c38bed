// What `postfix check` says about main.cf and master.cf beyond syntax: everything an administrator would otherwise find
// out one program at a time. Nothing here stops the mail system; a correct configuration gives no line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/master_cf.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postfix {

/// All warnings, in this order: values that cannot be used, unknown names, tables, certificates, open relay, programs,
/// chroot. Each names the file and, where one line is to blame, the line. Reads the files that are named.
[[nodiscard]] std::vector<std::string> configuration_warnings(const config::Snapshot& config,
                                                              const config::MasterCf& master);

/// Whether mail for any destination is accepted from anyone, because neither list of restrictions can reject: what
/// smtpd refuses to run with. Names of smtpd_restriction_classes are followed.
[[nodiscard]] bool is_open_relay(const config::Snapshot& config);

}  // namespace stagepost::postfix
