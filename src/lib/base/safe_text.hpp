// Types that keep untrusted bytes apart from text that may go into a log line, a reply or a shell command. Parsed
// addresses are a type of their own too (mail/address.hpp).
#pragma once

#include <string>
#include <string_view>

namespace stagepost {

/// Bytes a peer sent. They can be parsed, measured and compared; to show them somewhere, convert them to LogText.
class PeerBytes {
 public:
  PeerBytes() = default;
  explicit PeerBytes(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] std::string_view unchecked() const { return bytes_; }

 private:
  std::string_view bytes_;
};

/// One line of printable text: every byte outside printable ASCII is '?', unless it is part of well-formed UTF-8 and
/// `utf8` allows it; cut at `limit_bytes` with "..." at the end. Safe in log lines and SMTP replies.
class LogText {
 public:
  enum class Utf8 { replace, keep };
  explicit LogText(PeerBytes bytes, std::size_t limit_bytes = 2000, Utf8 utf8 = Utf8::keep);
  [[nodiscard]] const std::string& str() const { return text_; }

 private:
  std::string text_;
};

/// Shorthand for LogText(PeerBytes(bytes)).str().
[[nodiscard]] std::string printable(std::string_view bytes);

/// A value that may be substituted into a command line run by a shell: only characters of `allowed`
/// (Postfix parameter command_expansion_filter) survive, others become '_'.
class ShellWord {
 public:
  ShellWord(PeerBytes bytes, std::string_view allowed);
  [[nodiscard]] const std::string& str() const { return text_; }

 private:
  std::string text_;
};

}  // namespace stagepost
