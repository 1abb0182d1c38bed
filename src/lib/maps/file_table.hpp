// A table whose whole content is in memory and comes from a text file (or from rules in the table's name), and that
// follows changes of the file: readers see the old content until the new one is complete and parsed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "maps/open.hpp"
#include "maps/table.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {

/// `Content` has `static Result<Content> parse(std::string_view name, std::string_view source, const OpenContext&)`,
/// `Result<Found> find(std::string_view key)` and, if it can be listed, `Result<> each(const Table::Visit&)`.
template <class Content>
class FileTable final : public Table {
 public:
  /// Reads `path`.
  static Result<std::unique_ptr<Table>> open(std::string_view type, std::string_view path, KeyKind kind,
                                             const OpenContext& context) {
    WatchedFile file{std::string(path), context.recheck_interval};
    SP_TRY(const std::string source, file.load(context.source_limit_bytes));
    SP_TRY(Content content, Content::parse(path, source, context));
    return std::unique_ptr<Table>(new FileTable(type, path, kind, context, std::move(content), std::move(file)));
  }
  /// Takes the text from `source`; `name` is for messages.
  static Result<std::unique_ptr<Table>> from_text(std::string_view type, std::string_view name, std::string_view source,
                                                  KeyKind kind, const OpenContext& context) {
    SP_TRY(Content content, Content::parse(name, source, context));
    return std::unique_ptr<Table>(new FileTable(type, name, kind, context, std::move(content), std::nullopt));
  }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    refresh();
    return content_.find(key);
  }
  Result<> each(const Visit& visit) override {
    if constexpr (requires { content_.each(visit); }) {
      refresh();
      return content_.each(visit);
    } else {
      return Table::each(visit);
    }
  }

 private:
  FileTable(std::string_view type, std::string_view file_name, KeyKind kind, const OpenContext& context,
            Content content, std::optional<WatchedFile> file)
      : Table(fmt::format("{}:{}", type, file_name), kind),
        context_(context),
        content_(std::move(content)),
        file_(std::move(file)) {}

  void refresh() {
    if (!file_ || !file_->changed()) { return; }
    auto source = file_->load(context_.source_limit_bytes);
    auto fresh = source ? Content::parse(file_->path(), *source, context_)
                        : Result<Content>(std::unexpected(std::move(source).error()));
    if (fresh) {
      content_ = *std::move(fresh);
    } else {
      context_.warning(unreadable_change(name(), fresh.error()));
    }
  }

  OpenContext context_;
  Content content_;
  std::optional<WatchedFile> file_;
};

}  // namespace stagepost::maps
