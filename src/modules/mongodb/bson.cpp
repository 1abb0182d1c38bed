// See bson.hpp.
#include "bson.hpp"

#include <cstdint>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps::mongodb {
namespace {

struct ReaderEnd {
  void operator()(bson_json_reader_t* reader) const { ::bson_json_reader_destroy(reader); }
};

}  // namespace

Result<Bson> parse_json(std::string_view json) {
  json = text::trim(json);
  // The parser takes an array for a document with the names 0, 1, ...
  if (!json.starts_with('{')) { return failure("not a JSON object"); }
  if (json.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) { return failure("too long"); }
  // The buffer is a little larger than the text: the parser takes all of it at once.
  const std::unique_ptr<bson_json_reader_t, ReaderEnd> reader(::bson_json_data_reader_new(false, json.size() + 1));
  ::bson_json_data_reader_ingest(reader.get(), reinterpret_cast<const std::uint8_t*>(json.data()), json.size());
  Bson document;
  bson_error_t error{};
  const int read = ::bson_json_reader_read(reader.get(), document.get(), &error);
  if (read != 1) {
    return failure(fmt::format("not a JSON object: {}", read == 0 ? "it has no end" : printable(error.message)));
  }
  Bson more;
  if (::bson_json_reader_read(reader.get(), more.get(), &error) != 0) {
    return failure("not a JSON object: there is something behind it");
  }
  return document;
}

}  // namespace stagepost::maps::mongodb
