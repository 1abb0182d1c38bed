#include "delivery/command_line.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace stagepost::delivery {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

/// Characters that mean nothing to a shell, whatever the shell; anything else is left to one.
bool is_plain(char c) { return text::is_alnum(c) || std::string_view("-_+=:,./").contains(c); }

/// Words that only a shell knows, or knows better.
constexpr std::array<std::string_view, 39> kShellWords{
    ".",    ":",     "alias",   "bg",    "break", "case",   "cd",    "command", "continue", "do",
    "done", "elif",  "else",    "esac",  "eval",  "exec",   "exit",  "export",  "fc",       "fg",
    "fi",   "for",   "getopts", "hash",  "if",    "jobs",   "local", "read",    "readonly", "return",
    "set",  "shift", "then",    "times", "trap",  "ulimit", "umask", "unset",   "wait"};

bool needs_shell(std::string_view command, const std::vector<std::string_view>& words) {
  const bool plain = std::ranges::all_of(command, [](char c) { return is_plain(c) || kBlanks.contains(c); });
  if (!plain || command.contains('\n') || words.empty()) { return true; }
  return words.front().contains('=') || std::ranges::find(kShellWords, words.front()) != kShellWords.end() ||
         words.front() == "until" || words.front() == "while" || words.front() == "unalias";
}

}  // namespace

std::vector<std::string> command_arguments(std::string_view command, std::string_view shell) {
  const auto words = text::split(command, kBlanks);
  std::vector<std::string> arguments;
  if (shell.empty() && !needs_shell(command, words)) {
    arguments.assign(words.begin(), words.end());
    return arguments;
  }
  for (const std::string_view word : text::split(shell.empty() ? "/bin/sh -c" : shell, kBlanks)) {
    arguments.emplace_back(word);
  }
  arguments.emplace_back(command);
  return arguments;
}

}  // namespace stagepost::delivery
