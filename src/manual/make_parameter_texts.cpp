// make_parameter_texts OUTPUT FILE...: writes the C++ table of descriptions and readers of all parameters, from
// docs/parameters/*.txt and from the pages of programs (docs/man/*.1 and *.8). Part of the build, not installed.
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "manual/descriptions.hpp"
#include "manual/mdoc.hpp"

namespace {

using namespace stagepost;

/// Programs by parameter: "cleanup(8)" ...
using Readers = std::map<std::string, std::set<std::string>, std::less<>>;

void add_readers(Readers& readers, std::string_view page, const std::string& file) {
  // ".../smtpd.8"
  const std::string name = file.substr(file.rfind('/') + 1, file.size() - file.rfind('/') - 3);
  const std::string section(1, file.back());
  const manual::ParametersNamed named = manual::parameters_named(page);
  for (const std::string& parameter : named.own) {
    if (name == "smtp" && parameter.starts_with("lmtp_")) {
      readers[parameter].insert("lmtp(8)");
      continue;
    }
    readers[parameter].insert(name + "(" + section + ")");
    // smtp(8) describes both: lmtp_x is there wherever smtp_x is.
    if (name == "smtp" && parameter.starts_with("smtp_")) {
      readers["lmtp_" + parameter.substr(5)].insert("lmtp(8)");
    } else if (name == "smtp") {
      readers[parameter].insert("lmtp(8)");
    }
  }
  for (const std::string& parameter : named.all_daemons) { readers[parameter].insert("all daemons"); }
}

std::string list_of(const Readers& readers, const std::string& name, const manual::Description& description) {
  auto found = readers.find(name);
  // A parameter of a transport is read where its default is.
  if (found == readers.end() && name.starts_with('_')) { found = readers.find(description.same_as); }
  if (found == readers.end()) { return ""; }
  const std::vector<std::string> programs(found->second.begin(), found->second.end());
  return text::join(programs, ", ");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: make_parameter_texts output file...\n";
    return 2;
  }
  manual::Descriptions descriptions;
  Readers readers;
  for (int i = 2; i < argc; ++i) {
    const std::string file = argv[i];
    std::ifstream input(file, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(input), {}};
    if (!input || content.empty()) {
      std::cerr << file << ": cannot be read\n";
      return 1;
    }
    if (!file.ends_with(".txt")) {
      add_readers(readers, content, file);
    } else if (const auto added = descriptions.add(content, file); !added) {
      std::cerr << added.error().message() << '\n';
      return 1;
    }
  }
  const auto all = descriptions.finish();
  if (!all) {
    std::cerr << all.error().message() << '\n';
    return 1;
  }
  std::ofstream output(argv[1], std::ios::binary);
  output << "#include \"commands/postconf/parameter_texts.hpp\"\n"
            "namespace stagepost::postconf {\nnamespace {\nconstexpr ParameterText kTexts[] = {\n";
  for (const auto& [name, description] : *all) {
    output << "    {\"" << name << "\", R\"text(" << description.text << ")text\", \""
           << list_of(readers, name, description) << "\"},\n";
  }
  output << "};\n}  // namespace\nstd::span<const ParameterText> parameter_texts() { return kTexts; }\n"
            "}  // namespace stagepost::postconf\n";
  output.close();
  return output ? 0 : 1;
}
