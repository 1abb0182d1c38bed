// What can be wrong with a queue file, as a std::error_code category, so that callers can tell a damaged file (move it
// to corrupt/) from a file system that failed (try again later).
#pragma once

#include <system_error>

#include "base/result.hpp"

namespace stagepost::queue {

enum class QueueErrc {
  truncated = 1,    ///< The file ends inside a record or before its end record: still being written, or cut by a crash.
  bad_length,       ///< A length field is longer than five bytes or beyond the limit of a record.
  bad_record,       ///< A record has a value or a place that it may not have.
  bad_pointer,      ///< A pointer record is malformed or the pointers form a loop.
  too_many,         ///< A count limit (attributes) was passed.
  bad_queue_id,     ///< A name that cannot be a queue ID.
  not_a_queue_file  ///< Not a regular file.
};

[[nodiscard]] const std::error_category& queue_category() noexcept;
[[nodiscard]] std::error_code make_error_code(QueueErrc code) noexcept;
[[nodiscard]] std::unexpected<Error> queue_failure(QueueErrc code, std::string context);
/// True when the file itself is damaged: delivering it again will not help.
[[nodiscard]] bool is_damage(const Error& error) noexcept;

}  // namespace stagepost::queue

template <>
struct std::is_error_code_enum<stagepost::queue::QueueErrc> : std::true_type {};
