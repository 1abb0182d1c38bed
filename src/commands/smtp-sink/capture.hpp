// Message files of smtp-sink: options -d (one each) and -D (all in one), in the format of its manual page.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "commands/smtp-sink/dialogue.hpp"
#include "commands/smtp-sink/options.hpp"

namespace stagepost::smtp_sink {

/// Message content as it is stored: LF line endings, without the dots that SMTP adds. The final dot line becomes the
/// empty line that ends a message in a file. Bytes may come in any pieces.
class ContentDecoder {
 public:
  void append(std::string_view wire, std::string& out);

 private:
  bool line_start_ = true;
  bool cr_pending_ = false;
};

/// The file of one message. Nothing is left of a message that is not finished.
class Capture {
 public:
  struct Client {
    std::string address;  ///< without brackets; "unix" for UNIX-domain sockets
    bool ipv6 = false;
  };

  /// Makes the file, missing directories too, and writes what stands in front of the content.
  [[nodiscard]] static Result<Capture> create(const Options& options, const Client& client, const Envelope& envelope,
                                              std::string_view protocol);
  Capture(Capture&&) noexcept = default;
  Capture& operator=(Capture&&) noexcept = default;
  ~Capture();

  [[nodiscard]] Result<> add(std::string_view wire);
  /// With -D this is where the message is added to the common file.
  [[nodiscard]] Result<> finish();

 private:
  Capture() = default;

  unique_fd fd_;
  std::string path_;  ///< -d: the file; -D: the file to append to
  bool shared_ = false;
  bool finished_ = false;
  ContentDecoder decoder_;
  std::string buffer_;
};

}  // namespace stagepost::smtp_sink
