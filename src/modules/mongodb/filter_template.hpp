// query_filter of mongodb_table(5): a JSON object whose strings have %s, %u ... for parts of the key. It becomes a BSON
// document when the table is opened; a lookup only replaces strings in it. No JSON is made of a key, so no key can add,
// end or rename anything. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bson.hpp"
#include "query.hpp"

namespace stagepost::maps::mongodb {

class FilterTemplate {
 public:
  /// `source` is for messages. Errors: no JSON object; a bad '%'; parts of the key where they could be more than text:
  /// outside of strings, in the names of fields, in code, in full-text searches and in the paths of $expr.
  [[nodiscard]] static Result<FilterTemplate> parse(std::string_view json, std::string_view source);

  /// The filter for `key`. Below $expr a string made of a key is a $literal, in a regular expression it stands for
  /// itself. nullopt: the key lacks a part, or is not UTF-8 and so equal to no string of a database. Error: too long.
  [[nodiscard]] Result<std::optional<Bson>> make(const KeyParts& key) const;
  /// False: it is the same filter for each key.
  [[nodiscard]] bool has_parts() const { return has_parts_; }

 private:
  class Compiler;

  enum class Kind : std::uint8_t {
    constant,  ///< a value without strings, as it is in `document_`
    document,  ///< up to its `end`
    array,     ///< up to its `end`
    end,
    text,
    literal,  ///< text, as {"$literal": text}
    pattern,  ///< text that is a regular expression
    literal_pattern,
    regex,  ///< a value of the type regular expression
  };
  struct Step {
    Kind kind = Kind::end;
    std::string name;
    Template text;
    std::string options;     ///< of a regex
    bson_iter_t constant{};  ///< into `document_`
  };

  Bson document_;
  std::vector<Step> steps_;
  std::size_t depth_ = 0;
  bool has_parts_ = false;
};

}  // namespace stagepost::maps::mongodb
