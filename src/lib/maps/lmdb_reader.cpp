// See lmdb_reader.hpp. Layout of LMDB 0.9 (data version 1): a page starts with its number (8 bytes), padding (2), flags
// (2) and the end of its index and start of its nodes (2 + 2; one number of pages for an overflow page); pages 0 and 1
// hold the two newest commits.
#include "maps/lmdb_reader.hpp"

#include <algorithm>
#include <cstring>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost::maps {
namespace {

constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
constexpr std::size_t kPageHeader = 16;
constexpr std::size_t kNodeHeader = 8;
constexpr std::uint32_t kDepthLimit = 32;
constexpr std::size_t kSmallestPage = 256;
constexpr std::size_t kLargestPage = 65536;
/// More commits than this during one search: something is wrong with the writer.
constexpr int kRestarts = 1000;

enum PageFlags : std::uint16_t { kBranch = 0x01, kLeaf = 0x02, kOverflow = 0x04, kMeta = 0x08 };
enum NodeFlags : std::uint16_t { kBigValue = 0x01, kSubDatabase = 0x02, kDuplicates = 0x04 };

// Offsets in a meta page.
constexpr std::size_t kMetaMagic = 16;
constexpr std::size_t kMetaVersion = 20;
constexpr std::size_t kMetaFreeDb = 40;
constexpr std::size_t kMetaMainDb = 88;
constexpr std::size_t kMetaLastPage = 136;
constexpr std::size_t kMetaTransaction = 144;
constexpr std::size_t kMetaSize = 152;
// In the description of a database: page size (of the first database only), flags, depth, root page.
constexpr std::size_t kDbFlags = 4;
constexpr std::size_t kDbDepth = 6;
constexpr std::size_t kDbRoot = 40;

template <class T>
T number_at(const char* bytes, std::size_t offset) {
  T number{};
  std::memcpy(&number, bytes + offset, sizeof number);
  return number;
}

}  // namespace

std::unexpected<Error> LmdbReader::damaged(std::string_view what) const {
  return failure(fmt::format("read {}: damaged database: {}", path_, what), std::errc::io_error);
}

Result<LmdbReader> LmdbReader::open(unique_fd fd, const std::string& path) {
  LmdbReader reader(std::move(fd), path);
  auto meta = reader.read_meta();
  if (!meta && meta.error().is(std::errc::illegal_byte_sequence)) {
    return failure(fmt::format("open database {}: MDB_INVALID: File is not an LMDB file", path));
  }
  if (!meta) { return std::unexpected(std::move(meta).error()); }
  reader.meta_ = *meta;
  return reader;
}

Result<> LmdbReader::read_exactly(char* to, std::size_t size, std::uint64_t offset) const {
  while (size > 0) {
    const auto got = sys::pread(fd_.get(), {to, size}, static_cast<off_t>(offset));
    if (!got) { return errno_failure(got.error().code.value(), "read " + path_); }
    if (*got == 0) { return damaged("it is truncated"); }
    to += *got;
    size -= *got;
    offset += *got;
  }
  return {};
}

Result<LmdbReader::Meta> LmdbReader::read_meta() const {
  std::array<char, 4096 + kMetaSize> bytes{};
  SP_TRY(const std::size_t got, sys::pread(fd_.get(), bytes, 0));
  const auto is_meta = [](const char* page) {
    return (number_at<std::uint16_t>(page, 10) & kMeta) != 0 && number_at<std::uint32_t>(page, kMetaMagic) == kMagic &&
           number_at<std::uint32_t>(page, kMetaVersion) == kDataVersion;
  };
  if (got < kMetaSize || !is_meta(bytes.data())) {
    return failure(fmt::format("read {}: not an LMDB file of this kind of machine", path_),
                   std::errc::illegal_byte_sequence);
  }
  const std::size_t page_size = number_at<std::uint32_t>(bytes.data(), kMetaFreeDb);
  if (page_size < kSmallestPage || page_size > kLargestPage || (page_size & (page_size - 1)) != 0) {
    return damaged("impossible page size");
  }
  std::array<char, kMetaSize> other{};
  if (page_size + kMetaSize <= got) {
    std::memcpy(other.data(), bytes.data() + page_size, kMetaSize);
  } else {
    SP_TRY(read_exactly(other.data(), kMetaSize, page_size));
  }
  const char* newest = bytes.data();
  if (is_meta(other.data()) &&
      number_at<std::uint64_t>(other.data(), kMetaTransaction) > number_at<std::uint64_t>(newest, kMetaTransaction)) {
    newest = other.data();
  }
  const Meta meta{.transaction = number_at<std::uint64_t>(newest, kMetaTransaction),
                  .root = number_at<std::uint64_t>(newest, kMetaMainDb + kDbRoot),
                  .last_page = number_at<std::uint64_t>(newest, kMetaLastPage),
                  .depth = number_at<std::uint16_t>(newest, kMetaMainDb + kDbDepth),
                  .page_size = page_size};
  if (number_at<std::uint16_t>(newest, kMetaMainDb + kDbFlags) != 0) {
    return damaged("its keys are not in plain order");
  }
  if (meta.depth > kDepthLimit) { return damaged("it is too deep"); }
  return meta;
}

Result<> LmdbReader::load(PageNumber number, Page& page) const {
  page.number = 0;
  if (number > meta_.last_page || number < 2) { return damaged(fmt::format("no page {}", number)); }
  if (page.size != meta_.page_size) {
    page.bytes = std::make_unique_for_overwrite<char[]>(meta_.page_size);
    page.size = meta_.page_size;
  }
  char* bytes = page.bytes.get();
  SP_TRY(read_exactly(bytes, page.size, number * page.size));
  const auto flags = number_at<std::uint16_t>(bytes, 10);
  const std::size_t lower = number_at<std::uint16_t>(bytes, 12);
  page.first_node = number_at<std::uint16_t>(bytes, 14);
  page.leaf = (flags & kLeaf) != 0;
  if (number_at<std::uint64_t>(bytes, 0) != number || page.leaf == ((flags & kBranch) != 0) ||
      (flags & (kOverflow | kMeta)) != 0 || lower < kPageHeader || lower > page.first_node ||
      page.first_node > page.size) {
    return damaged(fmt::format("page {}", number));
  }
  page.nodes = (lower - kPageHeader) / 2;
  page.number = number;
  return {};
}

Result<const LmdbReader::Page*> LmdbReader::page(PageNumber number, bool leaf) {
  Page& slot = leaf ? leaves_[number % kLeafSlots] : branches_[number % kBranchSlots];
  if (slot.number != number) { SP_TRY(load(number, slot)); }
  if (slot.leaf != leaf) { return damaged(fmt::format("page {} is not where it should be", number)); }
  return &slot;
}

void LmdbReader::forget_pages() {
  for (Page& page : branches_) { page.number = 0; }
  for (Page& page : leaves_) { page.number = 0; }
}

Result<LmdbReader::Node> LmdbReader::node(const Page& page, std::size_t index) const {
  if (index >= page.nodes) { return damaged("empty page"); }
  const char* bytes = page.bytes.get();
  const std::size_t at = number_at<std::uint16_t>(bytes, kPageHeader + 2 * index);
  if (at < page.first_node || at + kNodeHeader > page.size) { return damaged(fmt::format("page {}", page.number)); }
  const std::size_t key_size = number_at<std::uint16_t>(bytes, at + 6);
  if (at + kNodeHeader + key_size > page.size) { return damaged(fmt::format("page {}", page.number)); }
  return Node{.key = {bytes + at + kNodeHeader, key_size},
              .low = number_at<std::uint32_t>(bytes, at),
              .flags = number_at<std::uint16_t>(bytes, at + 4),
              .data = at + kNodeHeader + key_size};
}

Result<std::string> LmdbReader::value_of(const Page& page, const Node& node) const {
  if ((node.flags & (kSubDatabase | kDuplicates)) != 0) { return damaged("it holds more than one table"); }
  const std::size_t size = node.low;
  if (size > kValueLimit + 1) {
    return failure(fmt::format("read {}: value is too long", path_), std::errc::value_too_large);
  }
  if ((node.flags & kBigValue) == 0) {
    if (node.data + size > page.size) { return damaged("value ends outside its page"); }
    return std::string(page.bytes.get() + node.data, size);
  }
  if (node.data + 8 > page.size) { return damaged("value ends outside its page"); }
  const auto number = number_at<std::uint64_t>(page.bytes.get(), node.data);
  const std::uint64_t pages = (kPageHeader + size + meta_.page_size - 1) / meta_.page_size;
  if (number < 2 || number > meta_.last_page || pages > meta_.last_page - number + 1) {
    return damaged("overflow page");
  }
  std::string value(size, '\0');
  SP_TRY(read_exactly(value.data(), size, number * meta_.page_size + kPageHeader));
  return value;
}

Result<Found> LmdbReader::search(std::string_view key) {
  if (meta_.root == kNoPage) { return Found{}; }
  PageNumber number = meta_.root;
  const std::uint32_t depth = std::max(meta_.depth, 1U);
  for (std::uint32_t level = 1; level <= depth; ++level) {
    SP_TRY(const Page* current, page(number, level == depth));
    // The first node whose key is not less; in a branch page the first node stands for everything below the second.
    std::size_t low = current->leaf ? 0 : 1;
    std::size_t high = current->nodes;
    bool equal = false;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      SP_TRY(const Node candidate, node(*current, middle));
      const int order = candidate.key.compare(key);
      equal = equal || order == 0;
      if (order < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (current->leaf) {
      if (!equal) { return Found{}; }
      SP_TRY(const Node entry, node(*current, low));
      SP_TRY(std::string value, value_of(*current, entry));
      return Found{std::move(value)};
    }
    SP_TRY(const Node branch, node(*current, equal ? low : low - 1));
    number = branch.low | (std::uint64_t{branch.flags} << 32U);
  }
  return damaged("it has no leaves");
}

Result<Found> LmdbReader::find(std::string_view key) {
  for (int i = 0; i < kRestarts; ++i) {
    auto found = search(key);
    // A commit does not touch the pages of the state before it, only older ones: what was read counts if no commit
    // came in between.
    SP_TRY(const Meta now, read_meta());
    if (now == meta_) {
      // What a damaged file said may have been repaired by the next time.
      if (!found) { forget_pages(); }
      return found;
    }
    meta_ = now;
    forget_pages();
  }
  return failure(fmt::format("read {}: it changes all the time", path_), std::errc::resource_unavailable_try_again);
}

Result<> LmdbReader::walk(PageNumber number, std::uint32_t depth, const Visit& visit) const {
  Page current;
  SP_TRY(load(number, current));
  for (std::size_t i = 0; i < current.nodes; ++i) {
    SP_TRY(const Node entry, node(current, i));
    if (current.leaf) {
      SP_TRY(const std::string value, value_of(current, entry));
      SP_TRY(visit(entry.key, value));
    } else {
      if (depth <= 1) { return damaged("it is too deep"); }
      SP_TRY(walk(entry.low | (std::uint64_t{entry.flags} << 32U), depth - 1, visit));
    }
  }
  return {};
}

Result<> LmdbReader::each(const Visit& visit) {
  SP_TRY(meta_, read_meta());
  forget_pages();
  return meta_.root == kNoPage ? Result<>{} : walk(meta_.root, std::max(meta_.depth, 1U), visit);
}

}  // namespace stagepost::maps
