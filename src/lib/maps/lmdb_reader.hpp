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
    PageNumber number = 0;  ///< 0: nothing read yet
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
    std::size_t nodes = 0;
    std::size_t first_node = 0;  ///< where the nodes begin
    bool leaf = false;
  };
  struct Node {
    std::string_view key;
    std::uint32_t low = 0;    ///< branch: page number, bits 0-31; leaf: size of the value
    std::uint16_t flags = 0;  ///< branch: page number, bits 32-47
    std::size_t data = 0;     ///< offset of the value in the page
  };
  LmdbReader(unique_fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  [[nodiscard]] std::unexpected<Error> damaged(std::string_view what) const;
  [[nodiscard]] Result<Meta> read_meta() const;
  [[nodiscard]] Result<> read_exactly(char* to, std::size_t size, std::uint64_t offset) const;
  [[nodiscard]] Result<> load(PageNumber number, Page& page) const;
  /// Valid until the next call.
  [[nodiscard]] Result<const Page*> page(PageNumber number, bool leaf);
  void forget_pages();
  [[nodiscard]] Result<Node> node(const Page& page, std::size_t index) const;
  [[nodiscard]] Result<std::string> value_of(const Page& page, const Node& node) const;
  [[nodiscard]] Result<Found> search(std::string_view key);
  [[nodiscard]] Result<> walk(PageNumber number, std::uint32_t depth, const Visit& visit) const;

  unique_fd fd_;
  std::string path_;
  Meta meta_;
  /// Pages of the state `meta_`, by number modulo the size: 2 MB at most for the usual page size. Branches have a part
  /// of their own, as every search needs them.
  static constexpr std::size_t kBranchSlots = 256;
  static constexpr std::size_t kLeafSlots = 256;
  std::vector<Page> branches_ = std::vector<Page>(kBranchSlots);
  std::vector<Page> leaves_ = std::vector<Page>(kLeafSlots);
};

}  // namespace stagepost::maps
