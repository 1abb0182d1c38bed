// Header fields and address lists: rewriting with the identity changes nothing; folding can be undone; whatever the
// rewriter returns, the result is one header field.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "mail/address_list.hpp"
#include "mail/header.hpp"
#include "mail/rewrite.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::mail;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto same = rewrite_header_addresses(input, [](std::string_view address) { return std::string(address); });
  SP_ASSERT(same.truncated || (same.field == input && !same.changed));
  const auto addresses = extract_addresses(input, {.tokens = 500});
  SP_ASSERT(addresses.size() <= 500);
  const RewriteOptions options{.append_dot_mydomain = true, .myorigin = "o.example", .mydomain = "d.example"};
  for (const auto& address : addresses) {
    (void)rewrite_address(address.address, options);
    const std::string mailbox = format_mailbox(address.address, address.display_name);
    SP_ASSERT(address.display_name.empty() || mailbox.size() > address.address.size());
  }
  const ResolveOptions resolve{.myhostname = "h.example",
                               .is_local_domain = [](std::string_view d) { return d.size() < 3; }};
  (void)resolve_route(input, resolve);
  if (input.find_first_of("\r\n") == std::string_view::npos && parse_header_field(input)) {
    SP_ASSERT(unfold(fold(input, 20)) == input);
    const auto changed =
        rewrite_header_addresses(input, [&](std::string_view address) { return rewrite_address(address, options); });
    SP_ASSERT(parse_header_field(changed.field).has_value());
    for (std::size_t at = changed.field.find('\n'); at != std::string::npos; at = changed.field.find('\n', at + 1)) {
      SP_ASSERT(at + 1 < changed.field.size() && changed.field[at + 1] == '\t');
    }
  }
  return 0;
}
