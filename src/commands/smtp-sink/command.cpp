#include "commands/smtp-sink/command.hpp"

#include <utility>

#include "base/text.hpp"

namespace stagepost::smtp_sink {

Command command_named(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, Command>, kCommands - 1> kNames{{{"connect", Command::connect},
                                                                                    {"helo", Command::helo},
                                                                                    {"ehlo", Command::ehlo},
                                                                                    {"lhlo", Command::lhlo},
                                                                                    {"xclient", Command::xclient},
                                                                                    {"xforward", Command::xforward},
                                                                                    {"auth", Command::auth},
                                                                                    {"mail", Command::mail},
                                                                                    {"rcpt", Command::rcpt},
                                                                                    {"vrfy", Command::vrfy},
                                                                                    {"data", Command::data},
                                                                                    {".", Command::dot},
                                                                                    {"rset", Command::rset},
                                                                                    {"noop", Command::noop},
                                                                                    {"quit", Command::quit}}};
  for (const auto& [name, command] : kNames) {
    if (text::iequals(name, word)) { return command; }
  }
  return Command::unknown;
}

}  // namespace stagepost::smtp_sink
