// The descriptions of parameters (docs/parameters/*.txt): "name: text", continued on lines that begin with a space;
// "#" begins a comment. A text that ends in "=other" goes on with the text of that other parameter.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::manual {

struct Description {
  std::string text;
  std::string same_as;  ///< the parameter behind "="; may be empty
};

class Descriptions {
 public:
  /// Longest text of one parameter, in bytes.
  static constexpr std::size_t kLongest = 600;

  /// Adds what a file has. Error, with "file, line N": neither name nor continuation, a name that was there before, an
  /// empty or too long text.
  [[nodiscard]] Result<> add(std::string_view content, std::string_view file);
  /// All of them, "=other" replaced. Error: a text that does not end as a sentence, an "=other" that leads nowhere or
  /// to another "=".
  [[nodiscard]] Result<std::map<std::string, Description>> finish() const;

 private:
  std::map<std::string, Description> entries_;
};

}  // namespace stagepost::manual
