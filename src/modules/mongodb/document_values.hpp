// What mongodb_table(5) makes of a document that was found: which fields are asked for (result_attribute, projection),
// and the strings and whole numbers in them. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bson.hpp"
#include "query.hpp"

namespace stagepost::maps::mongodb {

/// The fields a table wants.
class ResultFields {
 public:
  /// Names, separated by white space or commas; a name may be the path of a field of an embedded document ("a.b").
  /// Empty: all fields.
  [[nodiscard]] static ResultFields of_names(std::string_view names);
  /// Error: not a JSON object.
  [[nodiscard]] static Result<ResultFields> of_projection(std::string_view json);

  /// For the server. "_id" is left out unless it is asked for by name.
  [[nodiscard]] const bson_t* projection() const { return projection_.get(); }
  /// Whether fields inside the embedded document at `path` were asked for.
  [[nodiscard]] bool inside(std::string_view path) const;

 private:
  Bson projection_;
  std::vector<std::string> paths_;
};

/// Fields of documents that have no value to return.
class IgnoredFields {
 public:
  void add(std::string_view path, bson_type_t type);
  /// Empty: there were none. Otherwise one line without newline, of a few of them.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

/// Adds the strings and whole numbers of `document`, in its order, those in arrays and wanted embedded documents
/// included. An "_id" that is an ObjectId is skipped, other values are `ignored`. Errors: those of ResultList; a
/// document that is no BSON.
[[nodiscard]] Result<> add_values(const bson_t* document, const ResultFields& fields, ResultList& results,
                                  IgnoredFields& ignored);

}  // namespace stagepost::maps::mongodb
