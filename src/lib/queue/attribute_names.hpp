// Names of the attributes in queue files. They are part of the file format and shared with Postfix.
#pragma once

#include <string_view>

namespace stagepost::queue::attr {

inline constexpr std::string_view create_time = "create_time";
inline constexpr std::string_view log_ident = "log_ident";
inline constexpr std::string_view rewrite_context = "rewrite_context";  ///< "local" or "remote"
inline constexpr std::string_view dsn_envid = "envelope_id";
inline constexpr std::string_view dsn_ret = "ret_flags";        ///< 1 full, 2 headers
inline constexpr std::string_view dsn_notify = "notify_flags";  ///< 1 never, 2 success, 4 failure, 8 delay
inline constexpr std::string_view dsn_original_recipient = "dsn_orig_rcpt";
inline constexpr std::string_view trace_flags = "trace_flags";  ///< From sendmail -v (1024), -bv (512); 0 in reports.
inline constexpr std::string_view encoding = "encoding";        ///< "7bit" or "8bit"
// What log lines and content filters are told about the client, possibly through XFORWARD.
inline constexpr std::string_view log_client_name = "log_client_name";
inline constexpr std::string_view log_client_address = "log_client_address";
inline constexpr std::string_view log_client_port = "log_client_port";
inline constexpr std::string_view log_message_origin = "log_message_origin";
inline constexpr std::string_view log_helo_name = "log_helo_name";
inline constexpr std::string_view log_protocol_name = "log_protocol_name";
// The client itself, for milters.
inline constexpr std::string_view client_name = "client_name";
inline constexpr std::string_view reverse_client_name = "reverse_client_name";
inline constexpr std::string_view client_address = "client_address";
inline constexpr std::string_view client_port = "client_port";
inline constexpr std::string_view client_address_type = "client_address_type";
inline constexpr std::string_view server_address = "server_address";
inline constexpr std::string_view server_port = "server_port";
inline constexpr std::string_view helo_name = "helo_name";
inline constexpr std::string_view protocol_name = "protocol_name";
inline constexpr std::string_view sasl_method = "sasl_method";
inline constexpr std::string_view sasl_username = "sasl_username";
inline constexpr std::string_view sasl_sender = "sasl_sender";

}  // namespace stagepost::queue::attr
