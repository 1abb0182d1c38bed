#include "cleanup/cleanup/settings.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "maps/context.hpp"

namespace stagepost::cleanup {
namespace {

std::size_t size_of(const config::Snapshot& config, std::string_view name) {
  return static_cast<std::size_t>(config.integer(name));
}

}  // namespace

Settings Settings::from(const config::Snapshot& config) {
  Settings s;
  s.myhostname = config.text("myhostname");
  s.mail_name = config.text("mail_name");
  s.myorigin = config.text("myorigin");
  s.message_size_limit = static_cast<std::uint64_t>(config.integer("message_size_limit"));
  s.line_length_limit = size_of(config, "line_length_limit");
  s.hopcount_limit = size_of(config, "hopcount_limit");
  s.virtual_alias_expansion_limit = size_of(config, "virtual_alias_expansion_limit");
  s.virtual_alias_recursion_limit = size_of(config, "virtual_alias_recursion_limit");
  s.virtual_alias_address_length_limit = size_of(config, "virtual_alias_address_length_limit");
  s.duplicate_filter_limit = size_of(config, "duplicate_filter_limit");
  s.always_bcc = config.text("always_bcc");
  s.verp_delimiter_filter = config.text("verp_delimiter_filter");
  s.always_add_missing_headers = config.boolean("always_add_missing_headers");
  s.enable_original_recipient = config.boolean("enable_original_recipient");
  s.detect_8bit_encoding_header = config.boolean("detect_8bit_encoding_header");
  s.replace_stray_cr = config.boolean("cleanup_replace_stray_cr_lf");
  s.remote_header_rewrite_domain = config.text("remote_header_rewrite_domain");
  s.undisclosed_recipients_header = config.text("undisclosed_recipients_header");
  if (config.text("header_from_format") == "obsolete") { s.header_from_format = mail::FromFormat::obsolete; }
  for (const std::string& name : config.list("message_drop_headers")) {
    const auto kind = mail::header_kind(name);
    if (kind == mail::HeaderKind::other) {
      s.drop_header_names.insert(text::to_lower(name));
    } else {
      s.drop_headers.insert(kind);
    }
  }
  const auto classes = config.list("smtputf8_autodetect_classes");
  s.smtputf8_autodetect =
      config.boolean("smtputf8_enable") &&
      std::ranges::any_of(classes, [](const std::string& name) { return name == "sendmail" || name == "all"; });
  s.delay_warning_time = config.seconds("delay_warning_time");
  s.mime = {.mime_nesting_limit = size_of(config, "mime_nesting_limit"),
            .mime_boundary_length_limit = size_of(config, "mime_boundary_length_limit"),
            .header_size_limit = size_of(config, "header_size_limit"),
            .disable_mime = config.boolean("disable_mime_input_processing"),
            .report_eight_bit_in_header = config.boolean("strict_7bit_headers"),
            .report_eight_bit_in_7bit_body = config.boolean("strict_8bitmime_body"),
            .report_encoding_domain = config.boolean("strict_mime_encoding_domain"),
            .report_nesting = true};
  s.address_list.tokens = size_of(config, "header_address_token_limit");
  s.extension = maps::extension_rule(config);
  s.propagate_virtual_extension = maps::extension_propagation(config).applies_to(maps::ExtensionUse::virtual_);
  if (config.boolean("enable_long_queue_ids")) { s.id_style = queue::IdStyle::long_form; }
  return s;
}

}  // namespace stagepost::cleanup
