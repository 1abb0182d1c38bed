// A whole main.cf: references between values, however deep or circular, end with a value or an error, never a crash,
// and what checks look at afterwards (tables, names) takes any value.
#include "base/assert.hpp"
#include "config/master_cf.hpp"
#include "config/name_check.hpp"
#include "config/snapshot.hpp"
#include "config/table_parameters.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::config;
  if (size > 4096) { return 0; }
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Without these two the host's name and network addresses would be looked up.
  const std::string main_cf = "myhostname = h.example\nmynetworks = 127.0.0.1\n" + std::string(text);
  const auto config = Snapshot::from_text(main_cf, "main.cf", {.check = LoadOptions::Check::no});
  if (!config) { return 0; }
  for (const std::string& name : (*config)->names_set()) {
    if (const auto value = (*config)->find_text(name)) {
      SP_ASSERT(value->size() <= (std::size_t{1} << 20));
      static_cast<void>(table_names(*value));
    }
  }
  static_cast<void>(check_names(**config, MasterCf{}));
  return 0;
}
