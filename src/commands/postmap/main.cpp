// postmap(1): creates and queries lookup tables.
#include "base/command_help.hpp"
#include "maps/table_command.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  using namespace stagepost::maps;
  constexpr CommandVariant kPostmap{
      .name = "postmap",
      .format = SourceFormat::postmap,
      .options = "bc:d:fFhijmnNopq:rsuUvw",
      .usage = "[-bfFhijmnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
      .separator = "",
  };
  return run_table_command(argc, argv, kPostmap);
}
