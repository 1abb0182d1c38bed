#include "commands/postconf/manual_page.hpp"

#include <fmt/format.h>

#include "base/text.hpp"
#include "commands/postconf/parameter_texts.hpp"
#include "config/registry.hpp"

namespace stagepost::postconf {
namespace {

constexpr std::string_view kHead = R"(.Dd November 22, 2026
.Dt POSTCONF 5
.Os Stagepost
.Sh NAME
.Nm postconf
.Nd parameters of main.cf
.Sh DESCRIPTION
All parameters of
.Xr main.cf 5 ,
which has the syntax, in alphabetical order: type, purpose, default, and the programs that read them.
.Ql postconf --explain Ar name
shows the same for one parameter together with its current value.
.Pp
A time is a number with a unit: s, m, h, d, w for seconds, minutes, hours, days, weeks.
Where a table is called for, several may stand, as type:name; see
.Xr postmap 1 .
A parameter that no program of this release reads may be set without effect.
.Sh PARAMETERS
.Bl -tag -width Ds
)";

constexpr std::string_view kServices = R"(.El
.Sh PARAMETERS OF TRANSPORTS
Each delivery service of
.Xr master.cf 5
has the following, with its name in front: relay_destination_concurrency_limit belongs to the service relay.
.Bl -tag -width Ds
)";

constexpr std::string_view kTail = R"(.El
.Sh SEE ALSO
.Xr postconf 1 ,
.Xr main.cf 5 ,
.Xr master.cf 5
)";

/// Text that no formatter takes for a request; each sentence on a line of its own, as mdoc(7) wants it.
std::string escaped(std::string_view words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const char c = words[i];
    if (c == ' ' && i > 1 && (words[i - 1] == '.' || words[i - 1] == '?') && i + 1 < words.size()) {
      out += '\n';
      out += escaped(words.substr(i + 1));
      break;
    }
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  if (!out.empty() && (out.front() == '.' || out.front() == '\'')) { out.insert(0, "\\&"); }
  return out;
}

std::string default_of(const config::Parameter& parameter) {
  if (parameter.computed != config::Computed::no) { return "Default: depends on the host or the process."; }
  if (parameter.default_text.empty()) { return "Default: empty."; }
  return fmt::format("Default: {}", escaped(parameter.default_text));
}

/// "Read by" with a cross-reference for each page.
std::string readers_of(std::string_view readers) {
  if (readers.empty()) { return "Not read by any program of this release.\n"; }
  std::string out = "Read by\n";
  const auto programs = text::split(readers, ",");
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const std::string_view program = text::trim(programs[i]);
    const std::string_view end = i + 1 == programs.size() ? "." : ",";
    if (const std::size_t bracket = program.find('('); bracket != std::string_view::npos) {
      out += fmt::format(".Xr {} {} {}\n", program.substr(0, bracket), program.substr(bracket + 1, 1), end);
    } else {
      out += fmt::format("{}{}\n", program, end);
    }
  }
  return out;
}

}  // namespace

std::string manual_page() {
  std::string page(kHead);
  for (const config::Parameter& parameter : config::parameters()) {
    const ParameterText* words = find_parameter_text(parameter.name);
    page += fmt::format(".It Va {} Pq {}\n", parameter.name, describe_type(parameter));
    page += fmt::format("{}\n.br\n{}\n.br\n{}", words != nullptr ? escaped(words->description) : "",
                        default_of(parameter), readers_of(words != nullptr ? words->readers : ""));
  }
  page += kServices;
  for (const config::ServiceParameter& parameter : config::service_parameters()) {
    const ParameterText* words = find_parameter_text(parameter.suffix);
    page += fmt::format(".It Ar service Ns Va {}\n{}\n.br\nDefault: {}\n.br\n{}", parameter.suffix,
                        words != nullptr ? escaped(words->description) : "", escaped(parameter.default_text),
                        readers_of(words != nullptr ? words->readers : ""));
  }
  return page + std::string(kTail);
}

}  // namespace stagepost::postconf
