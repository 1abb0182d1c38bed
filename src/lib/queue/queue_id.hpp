// Queue IDs, which are also the names of queue files. Short: five hexadecimal digits of microseconds, then the inode in
// hexadecimal. Long (enable_long_queue_ids): seconds in base 52 (at least six digits), microseconds in base 52 (four
// digits), 'z', then the inode in base 51. Base 52 is digits and letters without vowels. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace stagepost::queue {

enum class IdStyle { short_form, long_form };  ///< Parameter enable_long_queue_ids.

class QueueId {
 public:
  static constexpr std::size_t kMaxOctets = 100;

  /// Any name that Postfix takes as a queue ID: letters, digits and '_', at most kMaxOctets.
  [[nodiscard]] static std::optional<QueueId> parse(std::string_view text);
  /// `microseconds` is below one million.
  [[nodiscard]] static QueueId make_short(std::uint32_t microseconds, ino_t inode);
  [[nodiscard]] static QueueId make_long(std::int64_t seconds, std::uint32_t microseconds, ino_t inode);

  [[nodiscard]] const std::string& str() const { return text_; }
  /// 'z' at or behind the place where the shortest long name has it.
  [[nodiscard]] bool is_long() const;
  /// The inode the name claims; nullopt for a name of neither form.
  [[nodiscard]] std::optional<ino_t> inode() const;
  /// The same message under a short name: microseconds of this name with `inode`. nullopt for a name of neither form.
  [[nodiscard]] std::optional<QueueId> to_short(ino_t inode) const;
  /// The long name with another inode; nullopt if this is not a long name.
  [[nodiscard]] std::optional<QueueId> with_inode(ino_t inode) const;
  /// The text whose first characters choose the hash directories: the microseconds in hexadecimal for a long name, the
  /// name itself otherwise.
  [[nodiscard]] std::string hash_text() const;

  auto operator<=>(const QueueId&) const = default;

 private:
  explicit QueueId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace stagepost::queue
