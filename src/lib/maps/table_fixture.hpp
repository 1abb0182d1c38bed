// For tests of table types: a directory, a context, and short ways to build, open and ask tables.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "maps/open.hpp"

namespace stagepost::maps {

/// A directory of its own for each test, and a context that collects warnings and looks at files every time.
class Tables : public ::testing::Test {
 protected:
  Tables() {
    std::string pattern = (std::filesystem::temp_directory_path() / "maps_test.XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    context_.recheck_interval = std::chrono::milliseconds(0);
    context_.warn = [this](std::string_view line) { warnings_.emplace_back(line); };
  }
  ~Tables() override { std::filesystem::remove_all(directory_); }

  std::string path(std::string_view name) const { return directory_ + "/" + std::string(name); }

  std::string write(std::string_view name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

  /// Opens a table or fails the test.
  std::unique_ptr<Table> table(const std::string& name) {
    auto opened = open(name, context_);
    if (!opened) {
      ADD_FAILURE() << opened.error().message();
      return open_or_stand_in("fail:not opened", context_);
    }
    return *std::move(opened);
  }

  /// The value, "-" for not found, "!" and the message for an error.
  static std::string look(Table& in, std::string_view key) {
    auto found = in.find_now(key);
    if (!found) { return "?"; }
    if (!*found) { return "!" + query_error(in, std::move(*found).error()).message(); }
    return (*found)->value_or("-");
  }

  std::string look(const std::string& name, std::string_view key) { return look(*table(name), key); }

  std::string open_error(const std::string& name) const {
    const auto opened = open(name, context_);
    return opened ? "" : opened.error().message();
  }

  /// Warnings without the directory's name.
  std::vector<std::string> warnings() const {
    std::vector<std::string> result = warnings_;
    for (std::string& line : result) {
      for (std::size_t at = 0; (at = line.find(directory_ + "/")) != std::string::npos;) {
        line.erase(at, directory_.size() + 1);
      }
    }
    return result;
  }

  std::string directory_;
  OpenContext context_;
  std::vector<std::string> warnings_;
};

}  // namespace stagepost::maps
