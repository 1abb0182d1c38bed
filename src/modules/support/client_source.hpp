// Where a table client (mysql, pgsql, ldap, sqlite, memcache ...) has its settings: "type:/file" in that file, with
// main.cf's line syntax but without $name; "type:name" in main.cf, each as name_setting. Read once, when the table is
// opened. A setting nobody asks for is ignored, as Postfix does; postconf(1) reports it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/module.hpp"

namespace stagepost::maps {

class ClientSource {
 public:
  /// `name` is what follows "type:". A name with a leading '/' or '.' is a file of at most 1 MiB. Errors: the file's
  /// errno; "FILE, line N: ..." for a line that is no assignment, a NUL byte or a logical line above 64 KiB.
  [[nodiscard]] static Result<ClientSource> open(std::string_view name, const ModuleContext& context);
  /// The content of a file. `warn` may be empty.
  [[nodiscard]] static Result<ClientSource> parse(std::string_view content, std::string_view file,
                                                  const std::function<void(std::string_view)>& warn);

  /// What messages call the source.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Of several lines for one setting the last counts. nullopt: there is none.
  [[nodiscard]] std::optional<std::string> find(std::string_view setting) const;

  // Each is `otherwise` without a line for it. Errors name the source, the setting and its value.
  [[nodiscard]] std::string text(std::string_view setting, std::string_view otherwise = {}) const;
  /// Error when it is empty or not there.
  [[nodiscard]] Result<std::string> required_text(std::string_view setting) const;
  /// Error when it is there and empty.
  [[nodiscard]] Result<std::string> nonempty_text(std::string_view setting, std::string_view otherwise) const;
  /// Decimal.
  [[nodiscard]] Result<std::int64_t> number(std::string_view setting, std::int64_t otherwise, std::int64_t lowest = 0,
                                            std::int64_t highest = std::numeric_limits<std::int32_t>::max()) const;
  /// Decimal with one of the units s m h d w, or none: seconds.
  [[nodiscard]] Result<std::chrono::seconds> time(std::string_view setting, std::chrono::seconds otherwise,
                                                  std::chrono::seconds lowest = std::chrono::seconds(1),
                                                  std::chrono::seconds highest = std::chrono::hours(24 * 365)) const;
  /// yes or no, in any case.
  [[nodiscard]] Result<bool> flag(std::string_view setting, bool otherwise) const;

 private:
  [[nodiscard]] std::unexpected<Error> bad(std::string_view setting, std::string_view value,
                                           std::string_view what) const;

  std::string name_;
  std::map<std::string, std::string, std::less<>> settings_;
  /// Of a source in main.cf: value of a main.cf parameter.
  std::function<std::optional<std::string>(std::string_view)> parameter_;
};

}  // namespace stagepost::maps
