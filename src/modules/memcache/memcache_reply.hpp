// memcached's text protocol: commands from checked parts, and a reader of replies that takes bytes in any pieces. The
// server is not trusted: lines and data have limits, and what was not asked for is an error. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/lookup.hpp"

namespace stagepost::maps::memcache {

/// What memcached stores: 1 to 250 bytes, no white space, no control characters.
inline constexpr std::size_t kKeyLimitBytes = 250;
[[nodiscard]] bool is_valid_key(std::string_view key);

/// The key is valid; the caller has seen to that.
[[nodiscard]] std::string get_command(std::string_view key);
[[nodiscard]] std::string set_command(std::string_view key, std::uint32_t flags, std::uint32_t ttl,
                                      std::string_view value);
[[nodiscard]] std::string delete_command(std::string_view key);

struct Limits {
  std::size_t line_bytes = 1024;   ///< line_size_limit, without CRLF
  std::size_t data_bytes = 10240;  ///< data_size_limit
};

/// Reads the reply to one command. Errors: "SERVER_ERROR ..." and the like; a limit; anything that is no reply to this
/// command. After an error the connection is of no use.
class ReplyReader {
 public:
  enum class Command : std::uint8_t { get, set, erase };

  /// `key` is what was asked for: a value of another key is an error.
  ReplyReader(Command command, std::string_view key, Limits limits) : command_(command), key_(key), limits_(limits) {}

  /// True: the reply is complete; bytes behind its end are an error.
  [[nodiscard]] Result<bool> feed(std::string_view bytes);

  /// get: the value.
  [[nodiscard]] Found& value() { return value_; }
  /// erase: the key was there.
  [[nodiscard]] bool erased() const { return erased_; }

 private:
  enum class State : std::uint8_t { line, data, end_of_value, done };
  Result<> take_line(std::string_view line);
  Result<> take_header(std::string_view line);

  Command command_;
  std::string key_;
  Limits limits_;
  State state_ = State::line;
  std::string buffer_;
  std::size_t data_bytes_ = 0;
  Found value_;
  bool erased_ = false;
};

}  // namespace stagepost::maps::memcache
