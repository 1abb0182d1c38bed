// make_help PAGE VERSION OUTPUT: writes the C++ file with the --help text of a command, from its manual page. Part of
// the build, not installed.
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/text.hpp"
#include "manual/mdoc.hpp"

int main(int argc, char** argv) {
  using namespace stagepost;
  if (argc != 4) {
    std::cerr << "usage: make_help page version output\n";
    return 2;
  }
  std::ifstream input(argv[1], std::ios::binary);
  std::stringstream page;
  page << input.rdbuf();
  const auto text = manual::help_text(page.str());
  if (!input || !text) {
    std::cerr << argv[1] << ": " << (input ? text.error().message() : "cannot be read") << '\n';
    return 1;
  }
  std::ofstream output(argv[3], std::ios::binary);
  output << "#include \"base/command_help.hpp\"\nnamespace stagepost {\nconst CommandHelp kCommandHelp{\n    .name = \""
         << text->substr(0, text->find(' ')) << "\", .version = \"" << argv[2] << "\", .text =\n";
  for (const std::string_view line : text::split_exact(std::string_view(*text).substr(0, text->size() - 1), '\n')) {
    output << "    R\"help(" << line << ")help\" \"\\n\"\n";
  }
  output << "};\n}  // namespace stagepost\n";
  output.close();
  return output ? 0 : 1;
}
