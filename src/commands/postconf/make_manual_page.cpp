// make_manual_page: writes postconf(5) to standard output. Part of the build, not installed.
#include <cstdio>

#include "commands/postconf/manual_page.hpp"

int main() {
  const std::string page = stagepost::postconf::manual_page();
  const bool written = std::fwrite(page.data(), 1, page.size(), stdout) == page.size();
  return std::fclose(stdout) == 0 && written ? 0 : 1;
}
