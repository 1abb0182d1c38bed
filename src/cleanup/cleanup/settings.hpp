// The parameters cleanup uses, read once from the configuration (cleanup(8) lists them).
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>

#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "mail/address_list.hpp"
#include "mail/header.hpp"
#include "mail/mime.hpp"
#include "maps/lookup_order.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::cleanup {

struct Settings {
  std::string myhostname;
  std::string mail_name;
  std::string myorigin;
  std::uint64_t message_size_limit = 0;  ///< bytes; 0: none
  std::size_t line_length_limit = 2048;
  std::size_t hopcount_limit = 50;
  std::size_t virtual_alias_expansion_limit = 1000;
  std::size_t virtual_alias_recursion_limit = 1000;
  std::size_t virtual_alias_address_length_limit = 1000;
  std::size_t duplicate_filter_limit = 1000;
  std::string always_bcc;
  std::string verp_delimiter_filter;
  bool always_add_missing_headers = false;
  bool enable_original_recipient = true;
  bool detect_8bit_encoding_header = true;
  /// Mail of sendmail(1) that needs SMTPUTF8 is recognised (smtputf8_autodetect_classes).
  bool smtputf8_autodetect = true;
  bool replace_stray_cr = true;  ///< cleanup_replace_stray_cr_lf
  std::string remote_header_rewrite_domain;
  std::string undisclosed_recipients_header;
  mail::FromFormat header_from_format = mail::FromFormat::standard;
  std::set<mail::HeaderKind> drop_headers;     ///< message_drop_headers with a kind of their own
  std::set<std::string> drop_header_names;     ///< the rest of message_drop_headers, lower case
  std::chrono::seconds delay_warning_time{0};  ///< 0: no delay warnings
  mail::MimeOptions mime;
  mail::AddressListLimits address_list;
  maps::ExtensionRule extension;
  bool propagate_virtual_extension = true;
  queue::IdStyle id_style = queue::IdStyle::short_form;

  [[nodiscard]] static Settings from(const config::Snapshot& config);
};

}  // namespace stagepost::cleanup
