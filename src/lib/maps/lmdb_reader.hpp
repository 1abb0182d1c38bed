// Reads LMDB files without mapping them: whatever is in the file, and whatever somebody does to it while it is read
// (truncates it, copies another over it), ends as an Error and never as a signal. Only what our tables need of the
// format: one unnamed database, plain byte order of keys, no duplicates. Writing is LMDB's own business.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "maps/lookup.hpp"

namespace stagepost::maps {

class LmdbReader {
 public:
  /// Takes over an open file. Error: it is no LMDB file, or not one of this machine's byte order.
  [[nodiscard]] static Result<LmdbReader> open(unique_fd fd, const std::string& path);

  /// The value under exactly these bytes. A writer that commits meanwhile is noticed, and the search starts again; the
  /// answer is that of one committed state. Error: damaged file, value over kValueLimit.
  [[nodiscard]] Result<Found> find(std::string_view key);
  /// All entries in key order. The caller keeps writers away.
  [[nodiscard]] Result<> each(const Visit& visit);

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  /// What a committed state of the database is found by.
  struct Meta {
    std::uint64_t transaction = 0;
    std::uint64_t root = 0;
    std::uint64_t last_page = 0;
    std::uint32_t depth = 0;
    std::size_t page_size = 0;
    bool operator==(const Meta&) const = default;
  };
  using PageNumber = std::uint64_t;
  struct Page {
    std::vector<char> bytes;
    std::vector<std::uint16_t> nodes;  ///< where each node starts, checked
    bool leaf = false;
  };
  struct Node {
    std::string_view key;
    std::uint32_t low = 0;    ///< branch: page number, bits 0-31; leaf: size of the value
    std::uint16_t flags = 0;  ///< branch: page number, bits 32-47
    std::size_t data = 0;     ///< offset of the value in the page
  };
  struct Slot {
    PageNumber number = 0;
    std::shared_ptr<const Page> page;
  };

  LmdbReader(unique_fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  [[nodiscard]] std::unexpected<Error> damaged(std::string_view what) const;
  [[nodiscard]] Result<Meta> read_meta() const;
  [[nodiscard]] Result<> read_exactly(char* to, std::size_t size, std::uint64_t offset) const;
  [[nodiscard]] Result<std::shared_ptr<const Page>> load(const Meta& meta, PageNumber number) const;
  [[nodiscard]] Result<std::shared_ptr<const Page>> page(PageNumber number);
  [[nodiscard]] Result<Node> node(const Page& page, std::size_t index) const;
  [[nodiscard]] Result<std::string> value_of(const Meta& meta, const Page& page, const Node& node) const;
  [[nodiscard]] Result<Found> search(std::string_view key);
  [[nodiscard]] Result<> walk(PageNumber number, std::uint32_t depth, const Visit& visit) const;

  unique_fd fd_;
  std::string path_;
  Meta meta_;
  /// Pages of the state `meta_`, by number modulo its size: 1 MB at most for the usual page size.
  static constexpr std::size_t kSlots = 256;
  std::vector<Slot> cache_ = std::vector<Slot>(kSlots);
};

}  // namespace stagepost::maps
