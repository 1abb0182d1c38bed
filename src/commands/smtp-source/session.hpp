// One of the parallel sessions: connects, greets, sends messages until none is left.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "commands/smtp-source/generator.hpp"
#include "net/buffered_stream.hpp"

namespace stagepost::smtp_source {

class Session {
 public:
  Session(std::shared_ptr<Generator> generator, std::uint64_t id) : generator_(std::move(generator)), id_(id) {}

  /// Sends messages until the generator has no more.
  [[nodiscard]] net::Task<> run();
  /// Connects and greets (HELO, EHLO or LHLO, TLS when asked for). False: the run has failed.
  [[nodiscard]] net::Task<bool> open();
  /// The connection of an open session, for --hold.
  [[nodiscard]] std::unique_ptr<net::BufferedStream> take_stream() { return std::move(stream_); }

 private:
  enum class Outcome { sent, refused, failed };

  net::Task<bool> greet();
  net::Task<bool> start_tls();
  net::Task<bool> pause(SteadyClock::time_point due);
  net::Task<Outcome> transaction(std::uint64_t number);
  net::Task<Outcome> content(std::uint64_t number);
  /// Sends `command_` and reads the reply. `what` names it when the connection is lost.
  net::Task<std::optional<int>> exchange(std::string_view what);
  net::Task<std::optional<int>> read_reply(std::string_view what);
  net::Task<bool> send(std::string_view bytes, std::string_view what);
  net::Task<> quit();
  void lost(std::string_view what, const Error& error);
  void show(std::string_view prefix, std::string_view line) const;

  std::shared_ptr<Generator> generator_;
  std::uint64_t id_;
  std::unique_ptr<net::BufferedStream> stream_;
  std::string command_;  ///< keeps its memory from command to command
  std::string reply_;
};

}  // namespace stagepost::smtp_source
