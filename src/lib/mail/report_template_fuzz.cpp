// bounce(5) template files: whatever is in one, four templates come out whose headers are single lines of ASCII, and
// their texts expand or are refused.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "mail/report_template.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  static const config::SnapshotPtr config =
      config::Snapshot::from_text("compatibility_level = 3.6\nmyhostname = mx.xn--bcher-kva.example\n", "main.cf", {})
          .value();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> warnings;
  const mail::ReportTemplates templates = mail::parse_report_templates(input, "t", warnings);
  for (const std::string& warning : warnings) { SP_ASSERT(warning.starts_with("t, line ")); }
  for (std::size_t i = 0; i < templates.size(); ++i) {
    const mail::ReportTemplate& report = templates[i];
    const mail::ReportTemplate& built_in = mail::built_in_report_templates()[i];
    SP_ASSERT(report.name == built_in.name);
    if (report.built_in) { SP_ASSERT(report.text == built_in.text); }
    for (const std::string& header : {report.charset, report.from, report.subject, report.postmaster_subject}) {
      SP_ASSERT(text::is_ascii(header) && header.find_first_of(std::string_view("\0\n", 2)) == std::string::npos);
    }
    SP_ASSERT(report.text.size() <= size + built_in.text.size() + 1);
    const auto expanded = mail::expand_report_text(report, *config);
    SP_ASSERT(expanded || !expanded.error().message().empty());
  }
  return 0;
}
