// The one codec between our own processes. A message is a plain struct that lists its fields once:
//
//   struct RewriteRequest {
//     static constexpr std::uint16_t kType = 0x0201;
//     std::string context;
//     std::string address;
//     auto fields(this auto& self, auto&& visit) { return visit(self.context, self.address); }
//   };
//
// Encoding, decoding and bounds follow from that list. Integers are little endian at their own width; strings and lists
// carry a 32-bit count; an optional is a flag and a value. Decoding checks every count against the bytes that are left,
// refuses trailing bytes, and never allocates more than the frame's own size justifies. Pure: no I/O.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.hpp"

namespace stagepost::ipc {

/// Largest encoded message. Long lists (recipients, content) are sent as several messages.
inline constexpr std::size_t kMaxMessageBytes = 1024 * 1024;
/// Nesting of structs in structs and lists; our messages need three.
inline constexpr int kMaxDepth = 8;

class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}

  template <class... Fields>
  void operator()(const Fields&... fields) {
    (put(fields), ...);
  }

 private:
  template <class T>
  void put(const T& value) {
    if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
      put_integer(static_cast<std::uint32_t>(value.size()));
      out_ += value;
    } else if constexpr (std::same_as<T, bool>) {
      out_ += value ? '\1' : '\0';
    } else if constexpr (std::is_enum_v<T>) {
      put_integer(static_cast<std::make_unsigned_t<std::underlying_type_t<T>>>(value));
    } else if constexpr (std::integral<T>) {
      put_integer(static_cast<std::make_unsigned_t<T>>(value));
    } else if constexpr (requires { value.time_since_epoch(); }) {
      put(static_cast<std::int64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(value.time_since_epoch()).count()));
    } else if constexpr (requires { typename T::rep; }) {
      put(static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::microseconds>(value).count()));
    } else if constexpr (requires { value.has_value(); }) {
      put(value.has_value());
      if (value) { put(*value); }
    } else if constexpr (requires {
                           value.begin();
                           value.size();
                         }) {
      put_integer(static_cast<std::uint32_t>(value.size()));
      for (const auto& element : value) { put(element); }
    } else {
      value.fields(*this);
    }
  }

  template <std::unsigned_integral T>
  void put_integer(T value) {
    std::array<char, sizeof(T)> bytes{};
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes[i] = static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
    }
    out_.append(bytes.data(), bytes.size());
  }

  std::string& out_;
};

/// After a failure every further field stays as it was; ok() tells.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  template <class... Fields>
  void operator()(Fields&... fields) {
    (get(fields), ...);
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool complete() const { return ok_ && rest_.empty(); }

 private:
  template <class T>
  void get(T& value) {
    if (!ok_) { return; }
    if constexpr (std::same_as<T, std::string>) {
      std::uint32_t size = 0;
      get_integer(size);
      if (!ok_ || size > rest_.size()) { return fail(); }
      value.assign(rest_.substr(0, size));
      rest_.remove_prefix(size);
    } else if constexpr (std::same_as<T, bool>) {
      std::uint8_t byte = 0;
      get_integer(byte);
      if (byte > 1) { return fail(); }
      value = byte == 1;
    } else if constexpr (std::is_enum_v<T>) {
      // An enum lists its last value as T::kLast, so that a bad number cannot become one.
      std::make_unsigned_t<std::underlying_type_t<T>> number = 0;
      get_integer(number);
      if (number > static_cast<decltype(number)>(T::kLast)) { return fail(); }
      value = static_cast<T>(number);
    } else if constexpr (std::integral<T>) {
      std::make_unsigned_t<T> number = 0;
      get_integer(number);
      value = static_cast<T>(number);
    } else if constexpr (requires { value.time_since_epoch(); }) {
      std::int64_t micros = 0;
      get(micros);
      value = T(std::chrono::duration_cast<typename T::duration>(std::chrono::microseconds(micros)));
    } else if constexpr (requires { typename T::rep; }) {
      std::int64_t micros = 0;
      get(micros);
      value = std::chrono::duration_cast<T>(std::chrono::microseconds(micros));
    } else if constexpr (requires { value.has_value(); }) {
      bool present = false;
      get(present);
      value.reset();
      if (ok_ && present) { get(value.emplace()); }
    } else if constexpr (requires {
                           value.begin();
                           value.size();
                         }) {
      std::uint32_t count = 0;
      get_integer(count);
      // Each element takes at least one byte: a count beyond the rest is a lie and must not allocate.
      if (!ok_ || count > rest_.size()) { return fail(); }
      value.clear();
      for (std::uint32_t i = 0; i < count && ok_; ++i) { get(value.emplace_back()); }
    } else {
      if (++depth_ > kMaxDepth) { return fail(); }
      value.fields(*this);
      --depth_;
    }
  }

  template <std::unsigned_integral T>
  void get_integer(T& value) {
    if (rest_.size() < sizeof(T)) { return fail(); }
    T result = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      result = static_cast<T>(result | static_cast<T>(static_cast<T>(static_cast<unsigned char>(rest_[i])) << (8 * i)));
    }
    value = result;
    rest_.remove_prefix(sizeof(T));
  }

  void fail() { ok_ = false; }

  std::string_view rest_;
  int depth_ = 0;
  bool ok_ = true;
};

template <class Message>
[[nodiscard]] Result<Message> decode(std::string_view payload) {
  Message message;
  Decoder decoder(payload);
  message.fields(decoder);
  if (!decoder.complete()) { return failure("malformed message", std::errc::bad_message); }
  return message;
}

}  // namespace stagepost::ipc
