// See context.hpp.
#include "maps/context.hpp"

#include "log/log.hpp"
#include "maps/module_loading.hpp"

namespace stagepost::maps {

OpenContext make_context(const config::SnapshotPtr& config, net::EventLoop* loop) {
  OpenContext context;
  context.loop = loop;
  context.utf8 = config->boolean("smtputf8_enable") ? Utf8::check : Utf8::off;
  context.lmdb_map_size_bytes = static_cast<std::size_t>(config->integer("lmdb_map_size"));
  context.berkeley_db_create_buffer_bytes =
      static_cast<std::size_t>(std::max<std::int64_t>(config->integer("berkeley_db_create_buffer_size"), 0));
  context.socketmap_reply_limit_bytes = static_cast<std::size_t>(config->integer("socketmap_max_reply_size"));
  context.parameter = [config](std::string_view name) { return config->find_text(name); };
  context.warn = [](std::string_view line) { log::warning("{}", line); };
  context.note = [](std::string_view line) { log::info("{}", line); };
  context.types = types_with_modules(*config, context);
  return context;
}

ExtensionRule extension_rule(const config::Snapshot& config) {
  return {.delimiters = config.text("recipient_delimiter"),
          .owner_request_special = config.boolean("owner_request_special"),
          .double_bounce_sender = config.text("double_bounce_sender")};
}

ExtensionPropagation extension_propagation(const config::Snapshot& config) {
  return ExtensionPropagation::parse(config.text("propagate_unmatched_extensions"));
}

}  // namespace stagepost::maps
