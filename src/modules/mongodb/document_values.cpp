// See document_values.hpp.
#include "document_values.hpp"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps::mongodb {
namespace {

constexpr std::size_t kDepthLimit = 100;  // a server's own
constexpr std::size_t kIgnoredShown = 3;

std::string_view type_name(bson_type_t type) {
  switch (type) {
    case BSON_TYPE_DOUBLE:
      return "double";
    case BSON_TYPE_DOCUMENT:
      return "document";
    case BSON_TYPE_ARRAY:
      return "array nested too deeply";
    case BSON_TYPE_BINARY:
      return "binary";
    case BSON_TYPE_OID:
      return "ObjectId";
    case BSON_TYPE_BOOL:
      return "boolean";
    case BSON_TYPE_DATE_TIME:
      return "date";
    case BSON_TYPE_NULL:
      return "null";
    case BSON_TYPE_REGEX:
      return "regular expression";
    case BSON_TYPE_TIMESTAMP:
      return "timestamp";
    case BSON_TYPE_DECIMAL128:
      return "decimal";
    default:
      return "other type";
  }
}

std::string path_of(std::string_view parent, std::string_view name) {
  return parent.empty() ? std::string(name) : fmt::format("{}.{}", parent, name);
}

class Walk {
 public:
  Walk(const ResultFields& fields, ResultList& results, IgnoredFields& ignored)
      : fields_(fields), results_(results), ignored_(ignored) {}

  Result<> document(bson_iter_t& iter, std::string_view parent, std::size_t depth) {
    while (::bson_iter_next(&iter)) {
      const std::string path = path_of(parent, ::bson_iter_key(&iter));
      if (path == "_id" && ::bson_iter_type(&iter) == BSON_TYPE_OID) { continue; }
      SP_TRY(value(iter, path, depth));
    }
    return ended(iter);
  }

 private:
  Result<> array(bson_iter_t& iter, std::string_view path, std::size_t depth) {
    while (::bson_iter_next(&iter)) { SP_TRY(value(iter, path, depth)); }
    return ended(iter);
  }

  Result<> value(const bson_iter_t& iter, std::string_view path, std::size_t depth) {
    const bson_type_t type = ::bson_iter_type(&iter);
    switch (type) {
      case BSON_TYPE_UTF8: {
        std::uint32_t length = 0;
        const char* bytes = ::bson_iter_utf8(&iter, &length);
        return results_.add({bytes, length});
      }
      case BSON_TYPE_INT32:
        return results_.add(std::to_string(::bson_iter_int32(&iter)));
      case BSON_TYPE_INT64:
        return results_.add(std::to_string(::bson_iter_int64(&iter)));
      case BSON_TYPE_ARRAY:
      case BSON_TYPE_DOCUMENT: {
        const bool is_array = type == BSON_TYPE_ARRAY;
        if (depth >= kDepthLimit || (!is_array && !fields_.inside(path))) { break; }
        bson_iter_t inner;
        if (!::bson_iter_recurse(&iter, &inner)) { return damaged(); }
        return is_array ? array(inner, path, depth + 1) : document(inner, path, depth + 1);
      }
      default:
        break;
    }
    ignored_.add(path, type);
    return {};
  }

  static std::unexpected<Error> damaged() { return failure("the server sent a damaged document"); }
  /// The iterator stops at what it cannot read, and says where.
  static Result<> ended(const bson_iter_t& iter) {
    if (iter.err_off != 0) { return damaged(); }
    return {};
  }

  const ResultFields& fields_;
  ResultList& results_;
  IgnoredFields& ignored_;
};

/// Whether a projection's value asks for the field: 1, true, or an expression; not 0 or false.
bool asks_for(const bson_iter_t& iter) {
  switch (::bson_iter_type(&iter)) {
    case BSON_TYPE_BOOL:
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
    case BSON_TYPE_DOUBLE:
      return ::bson_iter_as_bool(&iter);
    default:
      return true;
  }
}

void collect_paths(bson_iter_t& iter, std::string_view parent, std::size_t depth, std::vector<std::string>& paths) {
  while (::bson_iter_next(&iter)) {
    const std::string_view name = ::bson_iter_key(&iter);
    if (name.starts_with('$')) { continue; }
    const std::string path = path_of(parent, name);
    bson_iter_t inner;
    if (BSON_ITER_HOLDS_DOCUMENT(&iter)) {
      if (depth < kDepthLimit && ::bson_iter_recurse(&iter, &inner)) { collect_paths(inner, path, depth + 1, paths); }
    }
    if (asks_for(iter)) { paths.push_back(path); }
  }
}

}  // namespace

ResultFields ResultFields::of_names(std::string_view names) {
  ResultFields fields;
  for (const std::string_view name : text::split(names, ", \t\r\n")) {
    if (std::ranges::find(fields.paths_, name) != fields.paths_.end()) { continue; }
    fields.paths_.emplace_back(name);
    (void)::bson_append_int32(fields.projection_.get(), name.data(), static_cast<int>(name.size()), 1);
  }
  if (std::ranges::find(fields.paths_, "_id") == fields.paths_.end()) {
    (void)::bson_append_int32(fields.projection_.get(), "_id", -1, 0);
  }
  return fields;
}

Result<ResultFields> ResultFields::of_projection(std::string_view json) {
  ResultFields fields;
  SP_TRY(fields.projection_, parse_json(json));
  bson_iter_t iter;
  if (!::bson_iter_init(&iter, fields.projection_.get())) { return failure("damaged document"); }
  collect_paths(iter, {}, 0, fields.paths_);
  if (!::bson_has_field(fields.projection_.get(), "_id")) {
    (void)::bson_append_int32(fields.projection_.get(), "_id", -1, 0);
  }
  return fields;
}

bool ResultFields::inside(std::string_view path) const {
  return std::ranges::any_of(paths_, [&](std::string_view wanted) {
    return wanted.size() > path.size() && wanted.starts_with(path) && wanted[path.size()] == '.';
  });
}

void IgnoredFields::add(std::string_view path, bson_type_t type) {
  const std::string one = fmt::format("\"{}\" ({})", printable(path), type_name(type));
  if (text_.contains(one)) { return; }
  ++count_;
  if (count_ > kIgnoredShown) {
    if (!text_.ends_with("...")) { text_ += ", ..."; }
    return;
  }
  if (count_ > 1) { text_ += ", "; }
  text_ += one;
}

Result<> add_values(const bson_t* document, const ResultFields& fields, ResultList& results, IgnoredFields& ignored) {
  bson_iter_t iter;
  if (!::bson_iter_init(&iter, document)) { return failure("the server sent a damaged document"); }
  return Walk(fields, results, ignored).document(iter, {}, 0);
}

}  // namespace stagepost::maps::mongodb
