// The right-hand side of an alias, and the lines of ~/.forward and :include: files (aliases(5)): which destinations
// they name. Pure; what a destination means for whom is the delivery's business.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::local {

struct Destination {
  enum class Kind {
    address,  ///< text: external form, not yet completed with a domain
    command,  ///< text: what follows the '|'
    file,     ///< text: the path, absolute
    include,  ///< text: what follows ":include:"
    home,     ///< text: "~name/..." which Postfix does not deliver to either; kept so that it can be reported
  };
  Kind kind = Kind::address;
  std::string text = {};
  bool operator==(const Destination&) const = default;
};

/// The destinations of one alias value or one line. Separators are commas and white space; "double quotes" keep white
/// space and special characters together, backslash takes the next character as it is, (comments) vanish, and of
/// "Full Name <user@domain>" the address in <> remains. Anything that is not understood becomes an address, for the
/// address check to refuse. Each byte is looked at a bounded number of times; nested comments need no recursion.
[[nodiscard]] std::vector<Destination> parse_destinations(std::string_view value);

/// Reads the lines of a ~/.forward or :include: file out of its bytes, however they are cut: lines that start with '#'
/// and empty ones are skipped, longer lines than `line_octets` (line_length_limit) are broken there, as local(8) does.
class DestinationLines {
 public:
  explicit DestinationLines(std::size_t line_octets) : line_octets_(line_octets) {}
  /// The destinations of the lines that `bytes` completes.
  [[nodiscard]] std::vector<Destination> feed(std::string_view bytes);
  /// A last line without newline.
  [[nodiscard]] std::vector<Destination> finish();

 private:
  void end_line(std::vector<Destination>& found);
  std::size_t line_octets_;
  std::string line_;
};

}  // namespace stagepost::local
