#include "config/table_parameters.hpp"

#include <algorithm>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "config/main_cf.hpp"
#include "config/snapshot.hpp"

namespace stagepost::config {
namespace {

using namespace std::string_view_literals;

// The names of Postfix 3.7.11 and those that later releases added (charset, encoding, idle_interval, retry_interval,
// key_digest, mongodb), and our timeout of mysql and pgsql. All lists
// sorted bytewise.
constexpr std::string_view kLdap[] = {"bind",
                                      "bind_dn",
                                      "bind_pw",
                                      "cache",
                                      "cache_expiry",
                                      "cache_size",
                                      "chase_referrals",
                                      "debuglevel",
                                      "dereference",
                                      "domain",
                                      "expansion_limit",
                                      "leaf_result_attribute",
                                      "query_filter",
                                      "recursion_limit",
                                      "result_attribute",
                                      "result_filter",
                                      "result_format",
                                      "sasl_authz_id",
                                      "sasl_mechs",
                                      "sasl_minssf",
                                      "sasl_realm",
                                      "scope",
                                      "search_base",
                                      "server_host",
                                      "server_port",
                                      "size_limit",
                                      "special_result_attribute",
                                      "start_tls",
                                      "terminal_result_attribute",
                                      "timeout",
                                      "tls_ca_cert_dir",
                                      "tls_ca_cert_file",
                                      "tls_cert",
                                      "tls_cipher_suite",
                                      "tls_key",
                                      "tls_random_file",
                                      "tls_require_cert",
                                      "version"};
constexpr std::string_view kMemcache[] = {"backup",     "data_size_limit", "domain",          "flags",
                                          "key_digest", "key_format",      "line_size_limit", "max_try",
                                          "memcache",   "retry_pause",     "timeout",         "ttl"};
constexpr std::string_view kMongodb[] = {"collection", "dbname",       "domain",           "expansion_limit", "options",
                                         "projection", "query_filter", "result_attribute", "result_format",   "uri"};
constexpr std::string_view kMysql[] = {"additional_conditions",
                                       "charset",
                                       "dbname",
                                       "domain",
                                       "expansion_limit",
                                       "hosts",
                                       "idle_interval",
                                       "option_file",
                                       "option_group",
                                       "password",
                                       "query",
                                       "require_result_set",
                                       "result_format",
                                       "retry_interval",
                                       "select_field",
                                       "table",
                                       "timeout",
                                       "tls_CAfile",
                                       "tls_CApath",
                                       "tls_cert_file",
                                       "tls_ciphers",
                                       "tls_key_file",
                                       "tls_verify_cert",
                                       "user",
                                       "where_field"};
constexpr std::string_view kPgsql[] = {
    "additional_conditions", "dbname",   "domain",  "encoding",      "expansion_limit", "hosts",
    "idle_interval",         "password", "query",   "result_format", "retry_interval",  "select_field",
    "select_function",       "table",    "timeout", "user",          "where_field"};
constexpr std::string_view kSqlite[] = {"additional_conditions", "dbpath",       "domain", "expansion_limit", "query",
                                        "result_format",         "select_field", "table",  "where_field"};

struct TypeRow {
  std::string_view type;
  std::span<const std::string_view> parameters;
};
constexpr TypeRow kTypes[] = {{"ldap", kLdap},   {"memcache", kMemcache}, {"mongodb", kMongodb},
                              {"mysql", kMysql}, {"pgsql", kPgsql},       {"sqlite", kSqlite}};

constexpr std::size_t kDepth = 10;

void collect(std::string_view value, std::size_t depth, std::vector<TableName>& tables) {
  if (depth > kDepth) { return; }
  for (const std::string& piece : split_list(value)) {
    std::string_view table = piece;
    if (table.starts_with('{') && table.ends_with('}')) {
      collect(table.substr(1, table.size() - 2), depth + 1, tables);
      continue;
    }
    while (table.starts_with("proxy:")) { table.remove_prefix("proxy:"sv.size()); }
    const std::size_t colon = table.find(':');
    if (colon == std::string_view::npos || colon + 1 == table.size()) { continue; }
    const std::string_view type = table.substr(0, colon);
    const std::string_view name = table.substr(colon + 1);
    // In the braces of other types, inline for one, there are keys and values.
    const bool of_tables = type == "pipemap" || type == "unionmap";
    if (of_tables && name.starts_with('{') && name.ends_with('}')) {
      collect(name.substr(1, name.size() - 2), depth + 1, tables);
    } else {
      tables.push_back({std::string(type), std::string(name)});
    }
  }
}

}  // namespace

std::span<const std::string_view> table_parameters(std::string_view type) {
  const auto row = std::ranges::find(kTypes, type, &TypeRow::type);
  return row == std::end(kTypes) ? std::span<const std::string_view>() : row->parameters;
}

std::vector<TableName> table_names(std::string_view value) {
  std::vector<TableName> tables;
  if (value.find(':') != std::string_view::npos) { collect(value, 0, tables); }
  return tables;
}

std::vector<NamedTable> named_tables(std::string_view value) {
  std::vector<NamedTable> tables;
  for (TableName& table : table_names(value)) {
    const auto row = std::ranges::find(kTypes, table.type, &TypeRow::type);
    if (row != std::end(kTypes)) { tables.push_back({row->type, std::move(table.name)}); }
  }
  return tables;
}

Result<std::vector<std::string>> check_table_file(const NamedTable& table) {
  std::vector<std::string> warnings;
  auto parsed = read_main_cf(table.name);
  if (!parsed) {
    // A file that is there and cannot be parsed is an error, as with main.cf itself.
    const std::error_code code = parsed.error().code;
    if (code == std::errc::no_such_file_or_directory || code == std::errc::permission_denied ||
        code == std::errc::not_a_directory || code == std::errc::is_a_directory ||
        code == std::errc::too_many_symbolic_link_levels) {
      warnings.push_back(
          fmt::format("open \"{}\" configuration \"{}\": {}", table.type, printable(table.name), code.message()));
      return warnings;
    }
    return std::unexpected(std::move(parsed).error());
  }
  warnings = std::move(parsed->warnings);
  const auto known = table_parameters(table.type);
  // The last setting of a name counts, as everywhere.
  std::set<std::string_view> seen;
  for (auto setting = parsed->settings.rbegin(); setting != parsed->settings.rend(); ++setting) {
    if (!std::ranges::binary_search(known, setting->name) && seen.insert(setting->name).second) {
      warnings.push_back(fmt::format("{}:{}: unused parameter: {}={}", table.type, printable(table.name), setting->name,
                                     printable(setting->value)));
    }
  }
  return warnings;
}

}  // namespace stagepost::config
