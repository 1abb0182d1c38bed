#include "smtpd/smtpd/command_counts.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace stagepost::smtpd {
namespace {

using smtp::Verb;

/// The order of the line.
constexpr std::array<std::pair<Verb, const char*>, 16> kNames{{{Verb::helo, "helo"},
                                                               {Verb::ehlo, "ehlo"},
                                                               {Verb::xclient, "xclient"},
                                                               {Verb::xforward, "xforward"},
                                                               {Verb::starttls, "starttls"},
                                                               {Verb::auth, "auth"},
                                                               {Verb::mail, "mail"},
                                                               {Verb::rcpt, "rcpt"},
                                                               {Verb::data, "data"},
                                                               {Verb::bdat, "bdat"},
                                                               {Verb::rset, "rset"},
                                                               {Verb::noop, "noop"},
                                                               {Verb::vrfy, "vrfy"},
                                                               {Verb::etrn, "etrn"},
                                                               {Verb::quit, "quit"},
                                                               {Verb::unknown, "unknown"}}};

std::string format_count(const char* name, std::uint32_t good, std::uint32_t all) {
  return good == all ? fmt::format("{}={}", name, all) : fmt::format("{}={}/{}", name, good, all);
}

}  // namespace

void CommandCounts::add(Verb verb, bool success) {
  auto found = std::ranges::find(kNames, verb, &std::pair<Verb, const char*>::first);
  if (found == kNames.end()) { found = kNames.end() - 1; }
  Count& count = counts_[static_cast<std::size_t>(found - kNames.begin())];
  ++count.all;
  if (success) { ++count.good; }
}

std::string CommandCounts::summary() const {
  std::string out;
  Count total;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i].all == 0) { continue; }
    out += format_count(kNames[i].second, counts_[i].good, counts_[i].all) + ' ';
    total.good += counts_[i].good;
    total.all += counts_[i].all;
  }
  // A session without any command says "commands=0/0".
  return out + (total.all == 0 ? std::string("commands=0/0") : format_count("commands", total.good, total.all));
}

}  // namespace stagepost::smtpd
