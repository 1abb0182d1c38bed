// From directory entries to a table's result: which attributes count, and the entries that DNs and URLs in special
// attributes lead to (ldap_table(5)). Pure: the directory is an interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "query.hpp"

namespace stagepost::maps {

enum class LdapScope : std::uint8_t { base, one, sub };

struct LdapSearch {
  std::string base;
  LdapScope scope = LdapScope::base;
  std::string filter = "(objectclass=*)";
  std::vector<std::string> attributes = {};
};

struct LdapEntry {
  /// Name and values, in the order the server has them.
  std::vector<std::pair<std::string, std::vector<std::string>>> attributes;
};

class LdapDirectory {
 public:
  LdapDirectory() = default;
  LdapDirectory(const LdapDirectory&) = delete;
  LdapDirectory& operator=(const LdapDirectory&) = delete;
  virtual ~LdapDirectory() = default;

  /// nullopt: there is no such base.
  [[nodiscard]] virtual Result<std::optional<std::vector<LdapEntry>>> search(const LdapSearch& search) = 0;
  /// What an LDAP URL asks for, RFC 4516; no attributes: all. nullopt: it is none.
  [[nodiscard]] virtual std::optional<LdapSearch> parse_url(const std::string& text) const = 0;
};

/// result_attribute, special_result_attribute and so on, and recursion_limit.
struct LdapAttributes {
  enum class Kind : std::uint8_t { result, special, leaf, terminal };
  struct Attribute {
    std::string name;
    Kind kind;
  };
  std::vector<Attribute> all;
  std::size_t recursion_limit = 1000;

  void add(std::string_view list, Kind kind);
  [[nodiscard]] std::vector<std::string> names() const;
  /// Those that a URL selects: with attribute options of either side, which must be the same when both have some.
  [[nodiscard]] LdapAttributes selected(const std::vector<std::string>& by_url) const;
};

class LdapExpansion {
 public:
  /// All outlive the object. `warn` is told of DNs that lead nowhere.
  LdapExpansion(LdapDirectory& directory, ResultList& results, std::function<void(std::string_view)> warn)
      : directory_(directory), results_(results), warn_(std::move(warn)) {}

  /// Adds what `entries`, found with `attributes`, stand for. Errors: the directory's, the limits'.
  [[nodiscard]] Result<> add(const std::vector<LdapEntry>& entries, const LdapAttributes& attributes);
  /// The Error was of a limit, not of the directory.
  [[nodiscard]] bool refused() const { return refused_; }

 private:
  [[nodiscard]] Result<> add_entry(const LdapEntry& entry, const LdapAttributes& attributes, std::size_t depth);
  [[nodiscard]] Result<> follow(std::string_view name, const std::string& value, const LdapAttributes& attributes,
                                std::size_t depth);
  [[nodiscard]] Result<> add_values(const std::vector<std::string>& values);

  LdapDirectory& directory_;
  ResultList& results_;
  std::function<void(std::string_view)> warn_;
  bool refused_ = false;
  /// What is being followed, and with how many attributes (those of nested URLs can only become fewer).
  std::vector<std::pair<std::string, std::size_t>> path_;
};

}  // namespace stagepost::maps
