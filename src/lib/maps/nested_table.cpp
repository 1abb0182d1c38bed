// See nested_table.hpp.
#include "maps/nested_table.hpp"

#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {
namespace {

/// Each level is a loop, a table and, when the inner one is a module's, a connection.
constexpr std::size_t kNestingLimit = 5;

net::Task<> find_in(Table& table, const std::string& key, std::optional<Result<Found>>& answer) {
  auto found = co_await table.find(key);
  answer = std::move(found);
}
net::Task<> put_into(Table& table, const std::string& key, const std::string& value, Result<>& answer) {
  auto stored = co_await table.put(key, value);
  answer = std::move(stored);
}
net::Task<> erase_from(Table& table, const std::string& key, Result<bool>& answer) {
  auto erased = co_await table.erase(key);
  answer = std::move(erased);
}

class OpenedTable final : public NestedTable {
 public:
  OpenedTable(std::string_view type_and_name, OpenContext context) {
    context.loop = &loop_;
    // The caller waits in any case: client libraries need no threads of their own.
    context.may_block = true;
    table_ = open_or_stand_in(type_and_name, context);
  }

  Result<Found> find(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    std::optional<Result<Found>> answer = table_->find_now(key);
    if (!answer) { loop_.run_task(find_in(*table_, key, answer)); }
    return answer ? *std::move(answer) : unanswered();
  }
  Result<> put(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(mutex_);
    Result<> answer = unanswered();
    loop_.run_task(put_into(*table_, key, value, answer));
    return answer;
  }
  Result<bool> erase(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    Result<bool> answer = unanswered();
    loop_.run_task(erase_from(*table_, key, answer));
    return answer;
  }
  Result<> each(const Visit& visit) override {
    const std::lock_guard lock(mutex_);
    return table_->each(visit);
  }

 private:
  [[nodiscard]] std::unexpected<Error> unanswered() const {
    return failure(table_->name() + ": no answer", std::errc::io_error);
  }

  std::mutex mutex_;
  net::EventLoop loop_;
  std::unique_ptr<Table> table_;
};

}  // namespace

std::function<Result<std::shared_ptr<NestedTable>>(std::string_view type_and_name, Access access)> nested_table_opener(
    const OpenContext& context) {
  return [context](std::string_view type_and_name, Access access) -> Result<std::shared_ptr<NestedTable>> {
    if (context.nesting >= kNestingLimit) {
      return failure(fmt::format("{}: tables are nested too deeply", printable(type_and_name)));
    }
    OpenContext inner = context;
    inner.access = access;
    ++inner.nesting;
    return std::make_shared<OpenedTable>(type_and_name, std::move(inner));
  };
}

}  // namespace stagepost::maps
