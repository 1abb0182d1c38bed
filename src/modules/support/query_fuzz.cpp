// Fuzz target: a client configuration, and a key and values that meet its templates. Whatever the template, what a
// quoted part contributes must come out of the quoting function.
#include <cstdint>
#include <string>

#include "base/assert.hpp"
#include "client_source.hpp"
#include "query.hpp"

using namespace stagepost;
using namespace stagepost::maps;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // Key, value and configuration, each ended by a NUL.
  const std::size_t first = input.find('\0');
  if (first == std::string_view::npos) { return 0; }
  const std::size_t second = input.find('\0', first + 1);
  if (second == std::string_view::npos) { return 0; }
  const std::string_view key = input.substr(0, first);
  const std::string_view value = input.substr(first + 1, second - first - 1);
  const auto source = ClientSource::parse(input.substr(second + 1), "fuzz.cf", {});
  if (!source) { return 0; }
  (void)source->time("timeout", std::chrono::seconds(1));
  (void)source->flag("bind", true);
  const auto parsed = Template::parse(source->text("query"), source->name(), "query");
  if (parsed) {
    std::size_t quoted = 0;
    const auto made = parsed->query(KeyParts(key), [&](std::string_view) -> Result<std::string> {
      ++quoted;
      return std::string(1, '\x01');
    });
    if (made && *made) {
      std::size_t marks = 0;
      for (const char c : **made) { marks += c == '\x01' ? 1U : 0U; }
      SP_ASSERT(marks >= quoted);
    }
  }
  const auto rules = ResultRules::read(*source);
  if (!rules) { return 0; }
  ResultList list(*rules, key);
  for (int i = 0; i < 3; ++i) {
    if (!list.add(value)) { return 0; }
  }
  const std::size_t count = list.size();
  SP_ASSERT(rules->expansion_limit() == 0 || count <= rules->expansion_limit());
  const Found found = list.take();
  SP_ASSERT(found.has_value() == (count > 0));
  return 0;
}
