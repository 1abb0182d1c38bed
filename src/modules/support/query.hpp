// What the clients of databases and directories have in common, as mysql_table(5), pgsql_table(5), ldap_table(5),
// sqlite_table(5) and memcache_table(5) document it: a query made from a template and the key, and a result made from
// the values that came back. Pure; how a part is quoted is the caller's business.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "client_source.hpp"
#include "maps/lookup.hpp"
#include "maps/module.hpp"

namespace stagepost::maps {

/// A key's parts. Views into the key.
class KeyParts {
 public:
  explicit KeyParts(std::string_view key);

  [[nodiscard]] std::string_view key() const { return key_; }
  /// What is before the last '@'; the whole key when there is none. nullopt: empty.
  [[nodiscard]] std::optional<std::string_view> user() const;
  /// What is behind the last '@'. nullopt: empty, or there is none.
  [[nodiscard]] std::optional<std::string_view> domain() const;
  /// Of the domain, from its end, `place` 1 to 9; empty ones don't count. nullopt: not that many.
  [[nodiscard]] std::optional<std::string_view> label(std::size_t place) const;
  /// user@domain, neither part empty: what a table with a `domain` list is asked for.
  [[nodiscard]] bool is_address() const { return qualified_ && user() && domain(); }

 private:
  std::string_view key_;
  std::string_view user_;
  std::string_view domain_;
  bool qualified_ = false;
  std::array<std::string_view, 9> labels_{};
  std::size_t label_count_ = 0;
};

/// Text with %s %u %d %1 ... %9, %S %U %D and %%.
class Template {
 public:
  /// `source` and `setting` are for the message. Error: another character behind a '%', or none.
  [[nodiscard]] static Result<Template> parse(std::string_view text, std::string_view source, std::string_view setting);

  /// Makes a part of the key safe for where it goes; Error: it cannot be sent (wrong encoding).
  using Quote = std::function<Result<std::string>(std::string_view part)>;

  /// As a query: upper-case letters mean the same as lower-case ones. nullopt: the key lacks a part, so there is
  /// nothing to ask for.
  [[nodiscard]] Result<std::optional<std::string>> query(const KeyParts& key, const Quote& quote) const;

  /// As a result format: %s %u %d are of `value`, the others of the key. nullopt: a part is missing; the value is
  /// skipped.
  [[nodiscard]] std::optional<std::string> result(const KeyParts& value, const KeyParts& key) const;
  /// False: it is the same text for each key.
  [[nodiscard]] bool has_parts() const;
  /// False when result() would need a part that the key does not have: nothing needs to be asked.
  [[nodiscard]] bool key_suffices(const KeyParts& key) const;

 private:
  struct Piece {
    std::string literal;  ///< comes first
    char part = '\0';     ///< s u d S U D 1-9; NUL: none
  };
  std::vector<Piece> pieces_;
};

/// result_format and expansion_limit.
class ResultRules {
 public:
  /// `fallback`: an older name of result_format, read when that is not set.
  [[nodiscard]] static Result<ResultRules> read(const ClientSource& source, std::string_view fallback = {});

  [[nodiscard]] const Template& format() const { return format_; }
  /// 0: none.
  [[nodiscard]] std::size_t expansion_limit() const { return expansion_limit_; }

 private:
  Template format_;
  std::size_t expansion_limit_ = 0;
};

/// The values of one lookup, formatted and joined with commas.
class ResultList {
 public:
  /// Both outlive the object; `rules` is the table's, `key` the one asked for.
  ResultList(const ResultRules& rules, std::string_view key) : rules_(rules), key_(key) {}

  /// Adds a value. An empty one, and one that lacks a part of the format, is skipped. Errors: more values than
  /// expansion_limit; a result longer than kValueLimit.
  [[nodiscard]] Result<> add(std::string_view value);
  /// Nothing when no value was added.
  [[nodiscard]] Found take();
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  const ResultRules& rules_;
  KeyParts key_;
  std::string joined_;
  std::size_t count_ = 0;
};

}  // namespace stagepost::maps
