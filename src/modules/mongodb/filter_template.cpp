// See filter_template.hpp.
#include "filter_template.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps::mongodb {
namespace {

constexpr std::size_t kDepthLimit = 90;  // a server takes 100

/// Below these a string is a program or a language of its own.
constexpr std::array<std::string_view, 5> kFixed{"$accumulator", "$function", "$jsonSchema", "$text", "$where"};

/// Each character stands for itself, whatever the options.
Result<std::string> quote_for_pattern(std::string_view part) {
  std::string quoted;
  for (const char c : part) {
    // BSON ends a regular expression there.
    if (c == '\0') { return failure("a key with a NUL byte cannot be part of a regular expression"); }
    const bool special = static_cast<unsigned char>(c) < 0x80U && !text::is_alnum(c);
    if (special) { quoted += '\\'; }
    quoted += c;
  }
  return quoted;
}

Result<std::string> as_it_is(std::string_view part) { return std::string(part); }

// As elements of a vector bson_t and its pointers would lose their alignment.
struct Child {
  bson_t document{};
};
struct Parent {
  bson_t* document;
};

int length_of(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

/// Makes the steps of a document.
class FilterTemplate::Compiler {
 public:
  Compiler(FilterTemplate& made, std::string_view source) : made_(made), source_(source) {}

  /// Where a value stands.
  struct Place {
    std::size_t depth = 1;
    std::string_view fixed;   ///< the name above it that allows no parts; empty: none
    bool expression = false;  ///< below $expr: a string with '$' in front is a path
    bool pattern = false;     ///< a string here is a regular expression
  };

  Result<> add_fields(bson_iter_t& fields, const Place& place, bool array) {
    if (place.depth > kDepthLimit) { return bad("nested too deeply"); }
    made_.depth_ = std::max(made_.depth_, place.depth);
    while (::bson_iter_next(&fields)) {
      std::string name = ::bson_iter_key(&fields);
      Place below = place;
      below.pattern = array && place.pattern;
      if (!array) {
        SP_TRY(name, field_name(name));
        enter(name, below);
      }
      SP_TRY(add_value(fields, std::move(name), below));
    }
    return {};
  }

 private:
  static void enter(std::string_view name, Place& place) {
    const auto fixed = std::ranges::find(kFixed, name);
    if (fixed != kFixed.end()) { place.fixed = *fixed; }
    place.pattern = name == "$regex" || (place.expression && name == "regex");
    if (name == "$expr") { place.expression = true; }
    if (name == "$literal") { place.expression = false; }
  }

  Result<std::string> field_name(const std::string& name) const {
    if (!name.contains('%')) { return name; }
    SP_TRY(const Template parsed, Template::parse(name, source_, "query_filter"));
    if (parsed.has_parts()) {
      return bad(fmt::format("a part of the key cannot be the name of a field: \"{}\"", printable(name)));
    }
    SP_TRY(auto plain, parsed.query(KeyParts({}), as_it_is));
    return *std::move(plain);
  }

  Result<> add_value(const bson_iter_t& value, std::string name, const Place& place) {
    Step step;
    step.name = std::move(name);
    switch (::bson_iter_type(&value)) {
      case BSON_TYPE_DOCUMENT:
      case BSON_TYPE_ARRAY: {
        const bool array = ::bson_iter_type(&value) == BSON_TYPE_ARRAY;
        bson_iter_t fields;
        if (!::bson_iter_recurse(&value, &fields)) { return bad("damaged document"); }
        step.kind = array ? Kind::array : Kind::document;
        made_.steps_.push_back(std::move(step));
        Place below = place;
        ++below.depth;
        SP_TRY(add_fields(fields, below, array));
        made_.steps_.push_back({});
        return {};
      }
      case BSON_TYPE_UTF8: {
        std::uint32_t length = 0;
        const char* bytes = ::bson_iter_utf8(&value, &length);
        return add_text(std::move(step), {bytes, length}, place);
      }
      case BSON_TYPE_REGEX: {
        const char* options = nullptr;
        const char* pattern = ::bson_iter_regex(&value, &options);
        step.options = options;
        SP_TRY(step.text, parse_text(pattern, place));
        step.kind = Kind::regex;
        made_.steps_.push_back(std::move(step));
        return {};
      }
      case BSON_TYPE_CODE:
      case BSON_TYPE_CODEWSCOPE:
      case BSON_TYPE_SYMBOL:
        return bad("code and symbols are not supported");
      default:
        step.kind = Kind::constant;
        step.constant = value;
        made_.steps_.push_back(std::move(step));
        return {};
    }
  }

  Result<> add_text(Step step, std::string_view text, const Place& place) {
    SP_TRY(step.text, parse_text(text, place));
    const bool literal = place.expression && step.text.has_parts();
    if (literal && text.starts_with('$')) {
      return bad(fmt::format("a part of the key cannot be in a path: \"{}\"", printable(text)));
    }
    if (place.pattern) {
      step.kind = literal ? Kind::literal_pattern : Kind::pattern;
    } else {
      step.kind = literal ? Kind::literal : Kind::text;
    }
    made_.steps_.push_back(std::move(step));
    return {};
  }

  Result<Template> parse_text(std::string_view text, const Place& place) const {
    SP_TRY(Template parsed, Template::parse(text, source_, "query_filter"));
    if (!parsed.has_parts()) { return parsed; }
    if (!place.fixed.empty()) { return bad(fmt::format("a part of the key cannot be in {}", place.fixed)); }
    made_.has_parts_ = true;
    return parsed;
  }

  [[nodiscard]] std::unexpected<Error> bad(std::string_view what) const {
    return failure(fmt::format("{}: query_filter: {}", source_, what));
  }

  FilterTemplate& made_;
  std::string_view source_;
};

Result<FilterTemplate> FilterTemplate::parse(std::string_view json, std::string_view source) {
  FilterTemplate made;
  auto document = parse_json(json);
  if (!document) { return failure(fmt::format("{}: query_filter: {}", source, document.error().context)); }
  made.document_ = *std::move(document);
  bson_iter_t fields;
  if (!::bson_iter_init(&fields, made.document_.get())) {
    return failure(fmt::format("{}: query_filter: damaged document", source));
  }
  SP_TRY(Compiler(made, source).add_fields(fields, {}, false));
  return made;
}

Result<std::optional<Bson>> FilterTemplate::make(const KeyParts& key) const {
  // The library ends the program over a null pointer, also for no bytes.
  const std::string_view text_of_key = key.key();
  if (!text_of_key.empty() && !::bson_utf8_validate(text_of_key.data(), text_of_key.size(), true)) {
    return std::nullopt;
  }
  // All that can fail comes before there is a half-made document.
  std::vector<std::string> texts;
  std::size_t bytes = 0;
  for (const Step& step : steps_) {
    if (step.kind < Kind::text) { continue; }
    const bool quoted = step.kind >= Kind::pattern;
    SP_TRY(auto text, step.text.query(key, quoted ? quote_for_pattern : as_it_is));
    if (!text) { return std::nullopt; }
    bytes += text->size();
    if (bytes > kValueLimit) { return failure("query is too long"); }
    texts.push_back(*std::move(text));
  }
  // Each document is inside the one before it, and none may move.
  Bson made;
  std::vector<Child> open(depth_);
  std::vector<Parent> parents{{made.get()}};
  auto text = texts.begin();
  bool good = true;
  for (const Step& step : steps_) {
    bson_t* parent = parents.back().document;
    const char* name = step.name.data();
    const int name_length = length_of(step.name);
    switch (step.kind) {
      case Kind::constant:
        good = ::bson_append_iter(parent, name, name_length, &step.constant) && good;
        break;
      case Kind::document:
      case Kind::array: {
        bson_t* child = &open[parents.size() - 1].document;
        good = (step.kind == Kind::array ? ::bson_append_array_begin(parent, name, name_length, child)
                                         : ::bson_append_document_begin(parent, name, name_length, child)) &&
               good;
        parents.push_back({child});
        break;
      }
      case Kind::end: {
        parents.pop_back();
        // What ends is the last one opened; for libbson an array ends as a document does.
        good = ::bson_append_document_end(parents.back().document, parent) && good;
        break;
      }
      case Kind::text:
      case Kind::pattern:
        good = ::bson_append_utf8(parent, name, name_length, text->data(), length_of(*text)) && good;
        ++text;
        break;
      case Kind::literal:
      case Kind::literal_pattern: {
        bson_t wrapper;
        good = ::bson_append_document_begin(parent, name, name_length, &wrapper) && good;
        good = ::bson_append_utf8(&wrapper, "$literal", -1, text->data(), length_of(*text)) && good;
        good = ::bson_append_document_end(parent, &wrapper) && good;
        ++text;
        break;
      }
      case Kind::regex:
        good = ::bson_append_regex(parent, name, name_length, text->c_str(), step.options.c_str()) && good;
        ++text;
        break;
    }
  }
  if (!good) { return failure("query is too long"); }
  return made;
}

}  // namespace stagepost::maps::mongodb
