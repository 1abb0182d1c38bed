// query_filter and a key, on two lines: no crash, and a filter has the same names and types whatever the key is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "filter_template.hpp"

namespace {

using stagepost::maps::KeyParts;

/// Names and types, without what strings say.
void outline(bson_iter_t& iter, std::string& into) {
  while (::bson_iter_next(&iter)) {
    into += ::bson_iter_key(&iter);
    into += '\x02';
    into += static_cast<char>(::bson_iter_type(&iter));
    bson_iter_t inner;
    const bool nested = BSON_ITER_HOLDS_DOCUMENT(&iter) || BSON_ITER_HOLDS_ARRAY(&iter);
    if (nested && ::bson_iter_recurse(&iter, &inner)) {
      into += '(';
      outline(inner, into);
      into += ')';
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view json = input.substr(0, line);
  const std::string_view key = line == std::string_view::npos ? std::string_view() : input.substr(line + 1);
  const auto filter = stagepost::maps::mongodb::FilterTemplate::parse(json, "fuzz");
  if (!filter) { return 0; }
  const auto harmless = filter->make(KeyParts("u@9.8.7.6.5.4.3.2.1"));
  SP_ASSERT(harmless && *harmless);
  const auto made = filter->make(KeyParts(key));
  if (!made || !*made) { return 0; }
  SP_ASSERT(::bson_validate((*made)->get(), BSON_VALIDATE_NONE, nullptr));
  std::string expected;
  std::string found;
  bson_iter_t iter;
  SP_ASSERT(::bson_iter_init(&iter, (*harmless)->get()));
  outline(iter, expected);
  SP_ASSERT(::bson_iter_init(&iter, (*made)->get()));
  outline(iter, found);
  SP_ASSERT(found == expected);
  return 0;
}
