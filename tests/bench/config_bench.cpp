// How long it takes to read a large configuration: 10,000 lines of main.cf (parsed, expanded, type-checked) and 2,000
// services of master.cf. Prints the best and the median of several runs in milliseconds; docs/benchmarks.md has
// figures.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "config/main_cf.hpp"
#include "config/master_cf.hpp"
#include "config/name_check.hpp"
#include "config/snapshot.hpp"

namespace {

using namespace stagepost::config;

std::string large_main_cf() {
  std::string text = "myhostname = mail.example.com\nmynetworks = 127.0.0.0/8\n";
  for (int i = 0; i < 9998; ++i) {
    switch (i % 4) {
      case 0:
        text += "# what the next lines are for\n";
        break;
      case 1:
        text +=
            fmt::format("customer_{}_restrictions = check_client_access lmdb:/etc/postfix/access_{}, reject\n", i, i);
        break;
      case 2:
        text += fmt::format("customer_{}_maps = $customer_{}_restrictions ${{stress?{{a}}:{{b}}}}\n", i, i - 1);
        break;
      default:
        text += fmt::format("  inline:{{ {{ key_{} = value }} }},\n", i);
    }
  }
  return text;
}

std::string large_master_cf() {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += fmt::format(
        "10.0.{}.{}:smtp inet n - n - 20 smtpd\n  -o syslog_name=postfix/customer_{}\n"
        "  -o {{ smtpd_client_restrictions = check_client_access lmdb:/etc/postfix/access_{}, reject }}\n",
        i / 250, i % 250, i, i);
  }
  return text;
}

void measure(std::string_view what, const std::function<bool()>& work) {
  constexpr int kRuns = 15;
  std::vector<double> times;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    if (!work()) {
      fmt::print(stderr, "{} failed\n", what);
      std::exit(1);
    }
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(times);
  fmt::print("{:<44} best {:6.1f} ms, median {:6.1f} ms\n", what, times.front(), times[kRuns / 2]);
}

}  // namespace

int main() {
  const std::string main_text = large_main_cf();
  const std::string master_text = large_master_cf();
  measure("main.cf, 10,000 lines: parse", [&] { return parse_main_cf(main_text, "main.cf").has_value(); });
  measure("main.cf, 10,000 lines: parse, expand, check",
          [&] { return Snapshot::from_text(main_text, "main.cf", {}).has_value(); });
  measure("master.cf, 2,000 services: parse", [&] { return parse_master_cf(master_text, "master.cf").has_value(); });
  const auto config = Snapshot::from_text(main_text, "main.cf", {});
  const auto master = parse_master_cf(master_text, "master.cf");
  if (!config || !master) { return 1; }
  measure("both: names that are unused or undefined", [&] { return !check_names(**config, *master).unused.empty(); });
  return 0;
}
