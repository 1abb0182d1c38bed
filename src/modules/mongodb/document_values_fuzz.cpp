// A server's bytes as a document: no crash, and never more text than was sent.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "document_values.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::maps;
  bson_t document;
  if (!::bson_init_static(&document, data, size)) { return 0; }
  static const auto rules = ResultRules::read(ClientSource::parse("", "fuzz", {}).value()).value();
  for (const std::string_view names : {"", "a.b.c, a.d"}) {
    ResultList results(rules, "key");
    mongodb::IgnoredFields ignored;
    if (!mongodb::add_values(&document, mongodb::ResultFields::of_names(names), results, ignored)) { continue; }
    // The longest text for its bytes is a number: twenty characters and a comma of eight bytes and a name.
    const Found found = results.take();
    SP_ASSERT(!found || found->size() <= 3 * size);
    SP_ASSERT(ignored.text().size() <= 4 * size + 200);
  }
  return 0;
}
