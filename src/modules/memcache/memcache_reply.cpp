// See memcache_reply.hpp.
#include "memcache_reply.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps::memcache {
namespace {

std::unexpected<Error> unexpected_line(std::string_view line) {
  return failure(fmt::format("unexpected reply from server: \"{}\"", printable(line.substr(0, 100))),
                 std::errc::protocol_error);
}

}  // namespace

bool is_valid_key(std::string_view key) {
  return !key.empty() && key.size() <= kKeyLimitBytes &&
         std::ranges::all_of(key, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
}

std::string get_command(std::string_view key) { return fmt::format("get {}\r\n", key); }

std::string set_command(std::string_view key, std::uint32_t flags, std::uint32_t ttl, std::string_view value) {
  return fmt::format("set {} {} {} {}\r\n{}\r\n", key, flags, ttl, value.size(), value);
}

std::string delete_command(std::string_view key) { return fmt::format("delete {}\r\n", key); }

Result<bool> ReplyReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (state_ == State::done) { return failure("more than one reply from server", std::errc::protocol_error); }
    if (state_ == State::data) {
      const std::size_t wanted = data_bytes_ + 2 - buffer_.size();
      const std::size_t take = std::min(wanted, bytes.size());
      buffer_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (take < wanted) { break; }
      if (!buffer_.ends_with("\r\n")) {
        return failure("data from server has the wrong length", std::errc::protocol_error);
      }
      buffer_.resize(data_bytes_);
      value_ = std::exchange(buffer_, {});
      state_ = State::end_of_value;
      continue;
    }
    const std::size_t newline = bytes.find('\n');
    const std::size_t take = newline == std::string_view::npos ? bytes.size() : newline + 1;
    if (buffer_.size() + take > limits_.line_bytes + 2) {
      return failure(fmt::format("reply line from server is longer than {} bytes", limits_.line_bytes),
                     std::errc::message_size);
    }
    buffer_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (newline == std::string_view::npos) { break; }
    const std::string line = std::exchange(buffer_, {});
    if (!line.ends_with("\r\n")) { return unexpected_line(line); }
    SP_TRY(take_line(std::string_view(line).substr(0, line.size() - 2)));
  }
  return state_ == State::done;
}

Result<> ReplyReader::take_line(std::string_view line) {
  if (line == "ERROR" || line.starts_with("CLIENT_ERROR ") || line.starts_with("SERVER_ERROR ")) {
    return failure(fmt::format("server says: {}", printable(line)), std::errc::protocol_error);
  }
  switch (command_) {
    case Command::get:
      if (line == "END") {
        state_ = State::done;
        return {};
      }
      if (state_ == State::end_of_value) { return unexpected_line(line); }
      return take_header(line);
    case Command::set:
      if (line != "STORED") { return unexpected_line(line); }
      break;
    case Command::erase:
      if (line != "DELETED" && line != "NOT_FOUND") { return unexpected_line(line); }
      erased_ = line == "DELETED";
      break;
  }
  state_ = State::done;
  return {};
}

/// VALUE key flags bytes
Result<> ReplyReader::take_header(std::string_view line) {
  const auto words = text::split_exact(line, ' ');
  if (words.size() != 4 || words[0] != "VALUE" || words[1] != key_ || !text::parse_unsigned(words[2])) {
    return unexpected_line(line);
  }
  const std::optional<std::uint64_t> size = text::parse_unsigned(words[3]);
  if (!size) { return unexpected_line(line); }
  if (*size > limits_.data_bytes) {
    return failure(fmt::format("data from server has {} bytes, more than {}", *size, limits_.data_bytes),
                   std::errc::message_size);
  }
  data_bytes_ = static_cast<std::size_t>(*size);
  state_ = State::data;
  return {};
}

}  // namespace stagepost::maps::memcache
