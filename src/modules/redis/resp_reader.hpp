// Replies of a Redis server (RESP2), read by hiredis' parser into values of ours. The server is not trusted: a reply
// has a limit in bytes, and nothing is allocated for what has not arrived.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

struct redisReader;

namespace stagepost::maps::redis {

struct Reply {
  enum class Kind : std::uint8_t { status, error, integer, text, nil, array };
  Kind kind = Kind::nil;
  std::string text;  ///< status, error, text
  std::int64_t integer = 0;
  std::vector<Reply> elements;

  [[nodiscard]] bool is_error(std::string_view word) const { return kind == Kind::error && text.starts_with(word); }
  [[nodiscard]] bool is_status(std::string_view word) const { return kind == Kind::status && text == word; }
};

/// A command as the server wants it: an array of strings, each with its length, so that no byte in them has a meaning.
[[nodiscard]] std::string encode_command(std::span<const std::string> words);

class ReplyReader {
 public:
  /// A longer reply is an error.
  explicit ReplyReader(std::size_t limit_bytes);
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  /// The reply when it is complete. Errors: not RESP2, nested more than 7 deep, the limit, bytes behind the reply.
  /// After an error the connection is of no use.
  [[nodiscard]] Result<std::optional<Reply>> feed(std::string_view bytes);

 private:
  struct Free {
    void operator()(redisReader* reader) const;
  };
  std::unique_ptr<redisReader, Free> reader_;
  std::size_t limit_bytes_;
  std::size_t taken_bytes_ = 0;
};

}  // namespace stagepost::maps::redis
