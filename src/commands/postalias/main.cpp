// postalias(1): creates and queries alias databases.
#include "base/command_help.hpp"
#include "maps/table_command.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  using namespace stagepost::maps;
  constexpr CommandVariant kPostalias{
      .name = "postalias",
      .format = SourceFormat::aliases,
      .options = "c:d:fijnNopq:rsuvw",
      .usage = "[-Nfijnoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
      .separator = ":",
  };
  return run_table_command(argc, argv, kPostalias);
}
