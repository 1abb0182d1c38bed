#include "manual/descriptions.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::manual {

Result<> Descriptions::add(std::string_view content, std::string_view file) {
  Description* current = nullptr;
  std::size_t number = 0;
  for (const std::string_view line : text::split_exact(content, '\n')) {
    ++number;
    const std::string_view words = text::trim(line);
    if (words.empty() || line.front() == '#') {
      current = nullptr;
      continue;
    }
    if (text::is_space(line.front())) {
      if (current == nullptr) { return failure(fmt::format("{}, line {}: text without a name", file, number)); }
      current->text += fmt::format(" {}", words);
    } else {
      const std::size_t colon = line.find(": ");
      const std::string_view name = line.substr(0, colon);
      const bool plain = std::ranges::all_of(name, [](char c) { return text::is_alnum(c) || c == '_'; });
      if (colon == std::string_view::npos || name.empty() || !plain) {
        return failure(fmt::format("{}, line {}: want \"name: text\"", file, number));
      }
      const auto [place, added] = entries_.try_emplace(std::string(name));
      if (!added) { return failure(fmt::format("{}, line {}: {} has a text already", file, number, name)); }
      current = &place->second;
      current->text = text::trim(line.substr(colon + 1));
    }
    if (current->text.size() > kLongest) {
      return failure(fmt::format("{}, line {}: longer than {} bytes", file, number, kLongest));
    }
  }
  return {};
}

Result<std::map<std::string, Description>> Descriptions::finish() const {
  std::map<std::string, Description> finished = entries_;
  for (auto& [name, description] : finished) {
    std::string& text = description.text;
    if (const std::size_t equals = text.rfind(" =");
        equals != std::string::npos && text.find(' ', equals + 1) == std::string::npos) {
      description.same_as = text.substr(equals + 2);
      const auto other = entries_.find(description.same_as);
      if (other == entries_.end()) {
        return failure(fmt::format("{}: there is no text for \"{}\"", name, description.same_as));
      }
      text.resize(equals + 1);
      text += other->second.text;
    }
    if (!text.ends_with('.')) { return failure(fmt::format("{}: the text is no sentence: \"{}\"", name, text)); }
  }
  return finished;
}

}  // namespace stagepost::manual
