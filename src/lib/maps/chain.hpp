// Several tables in the order a parameter lists them: `virtual_alias_maps = lmdb:/etc/a, regexp:/etc/b`.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "maps/lookup_order.hpp"
#include "maps/open.hpp"
#include "maps/table.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

class Chain {
 public:
  /// What was found, and how.
  struct Match {
    std::string value;
    std::size_t key_index = 0;     ///< which of the keys asked for
    const Table* table = nullptr;  ///< valid as long as the chain
  };
  using Answer = Result<std::optional<Match>>;

  Chain() = default;
  /// Opens each table of a parameter value. A table that cannot be opened becomes a stand-in (open_or_stand_in); only
  /// unbalanced braces and a missing "type:" are errors here.
  [[nodiscard]] static Result<Chain> open(std::string_view parameter_name, std::string_view list,
                                          const OpenContext& context);
  Chain(std::string parameter_name, std::vector<std::unique_ptr<Table>> tables);

  [[nodiscard]] bool empty() const { return tables_.empty(); }
  [[nodiscard]] bool immediate() const;
  [[nodiscard]] const std::vector<std::unique_ptr<Table>>& tables() const { return tables_; }

  /// Each key is sent to each table before the next key is tried; the first hit ends it, and so does the first Error.
  /// An empty value is an Error: Postfix tables must not return one. nullopt when a network table has to be asked.
  [[nodiscard]] std::optional<Answer> find_now(std::span<const LookupKey> keys) const;
  [[nodiscard]] net::Task<Answer> find(LookupKeys keys) const;

  /// One whole key.
  [[nodiscard]] std::optional<Result<Found>> find_now(std::string_view key) const;
  [[nodiscard]] net::Task<Result<Found>> find(std::string key) const;

 private:
  [[nodiscard]] Answer accept(Result<Found> found, std::size_t key_index, const LookupKey& key,
                              const Table& table) const;

  std::string parameter_name_;
  std::vector<std::unique_ptr<Table>> tables_;
};

}  // namespace stagepost::maps
