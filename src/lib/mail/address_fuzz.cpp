// Paths and internal forms: what is accepted holds no control byte that could break a record or a command, and quoting
// can be undone.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "mail/address.hpp"
#include "mail/hostname.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  using namespace stagepost::mail;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  for (const bool strict : {false, true}) {
    const auto address =
        parse_path(PeerBytes(input), {.strict_rfc821_envelopes = strict, .utf8 = Utf8::allow, .allow_null = true});
    if (address) {
      SP_ASSERT(address->internal().find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
      SP_ASSERT(unquote_822_local(address->external()) == address->internal());
      const auto again = parse_path(PeerBytes("<" + address->external() + ">"),
                                    {.utf8 = Utf8::allow, .allow_null = true, .limit_octets = 10000});
      SP_ASSERT(again && again->internal() == address->internal());
    }
  }
  if (const auto address = Address::from_internal(input); address && !input.ends_with('@')) {
    SP_ASSERT(address->internal() == input);
    SP_ASSERT(unquote_822_local(quote_822_local(input)) == input);
  }
  const auto split = split_path(input);
  SP_ASSERT(split.path.size() + split.rest.size() <= input.size());
  (void)fold_case(input);
  (void)strip_extension(input, "+-");
  (void)domain_to_ascii(input);
  (void)domain_to_utf8(input);
  return 0;
}
