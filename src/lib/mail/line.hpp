// A line of message content as the queue, the MIME machine and the SMTP client pass it around: text without its line
// end, and whether the line ends here. Long lines travel as several pieces.
#pragma once

#include <string_view>

namespace stagepost::mail {

enum class LineEnd {
  complete,  // a line end follows the text (queue record type N)
  partial,   // the line goes on in the next piece (queue record type L)
};

struct Line {
  std::string_view text;
  LineEnd end = LineEnd::complete;
  friend bool operator==(const Line&, const Line&) = default;
};

}  // namespace stagepost::mail
