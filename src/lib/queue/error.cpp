#include "queue/error.hpp"

namespace stagepost::queue {
namespace {

class Category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "queue"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<QueueErrc>(value)) {
      case QueueErrc::truncated:
        return "unexpected end of file";
      case QueueErrc::bad_length:
        return "bad record length";
      case QueueErrc::bad_record:
        return "bad record";
      case QueueErrc::bad_pointer:
        return "bad pointer record";
      case QueueErrc::too_many:
        return "too many records of a kind";
      case QueueErrc::bad_queue_id:
        return "bad queue ID";
      case QueueErrc::not_a_queue_file:
        return "not a regular file";
    }
    return "unknown queue error";
  }
};

}  // namespace

const std::error_category& queue_category() noexcept {
  static const Category category;
  return category;
}

std::error_code make_error_code(QueueErrc code) noexcept { return {static_cast<int>(code), queue_category()}; }

std::unexpected<Error> queue_failure(QueueErrc code, std::string context) {
  return std::unexpected(Error{make_error_code(code), std::move(context)});
}

bool is_damage(const Error& error) noexcept { return error.code.category() == queue_category(); }

}  // namespace stagepost::queue
