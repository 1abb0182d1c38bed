// See the header. The messages are those of Debian's Postfix 3.7.11.
#include "config/origin_name.hpp"

#include <array>
#include <fcntl.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::config {
namespace {

/// A domain name has at most 255 octets; what is longer than this is no name file.
constexpr std::size_t kFirstLineOctets = 4096;

Result<std::string> first_line(const std::string& path) {
  // A FIFO in this place must not hang every program of the mail system.
  const auto fd = sys::open(path, O_RDONLY | O_NONBLOCK);
  if (!fd) { return failure(path + ": cannot open file: " + fd.error().code.message()); }
  std::array<char, kFirstLineOctets> bytes;
  std::string text;
  while (text.find('\n') == std::string::npos && text.size() < bytes.size()) {
    const auto n = sys::read(fd->get(), bytes);
    if (!n) { return failure(path + ": cannot read file: " + n.error().code.message()); }
    if (*n == 0) { break; }
    text.append(bytes.data(), *n);
  }
  text.resize(std::min(text.find('\n'), text.size()));
  if (text.size() >= kFirstLineOctets) { return failure("myorigin file " + path + " has no name in its first line"); }
  return text;
}

}  // namespace

Result<std::string> origin_name(std::string_view value) {
  std::string name(value);
  if (value.starts_with('/')) {
    SP_TRY(const std::string line, first_line(name));
    name = text::trim(line);
    if (name.empty()) { return failure("myorigin file " + std::string(value) + " is empty"); }
  }
  if (name.find_first_of(", \t\r\n") != std::string::npos) {
    return failure("myorigin parameter setting must not contain multiple values: " + printable(name));
  }
  return name;
}

}  // namespace stagepost::config
