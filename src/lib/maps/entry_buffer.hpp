// The entries of a table that is being built, in little memory: finds duplicates while they come, and hands them out in
// the order in which the file is written fastest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::maps {

class EntryBuffer {
 public:
  /// `expected`: a guess that saves moving things about.
  explicit EntryBuffer(std::size_t expected);

  /// False, and nothing changes, when the key is there and `overwrite` is not set.
  bool put(std::string_view key, std::string_view value, bool overwrite);
  /// False: it was not there.
  bool erase(std::string_view key);

  /// Calls `visit(key, value)` in the order of the keys' bytes until it returns something other than 0, and returns
  /// that.
  template <class Visit>
  int each_sorted(Visit visit) {
    sort();
    return each(visit);
  }

  /// The same in the order of `rank(key)`, 32 bits.
  template <class Rank, class Visit>
  int each_ranked(Rank rank, Visit visit) {
    for (Entry& entry : entries_) { entry.rank = rank(key_of(entry)); }
    sort_by_rank();
    return each(visit);
  }

 private:
  struct Entry {
    std::size_t key = 0;  ///< where it starts in text_
    std::size_t value = 0;
    std::uint32_t key_size = 0;
    std::uint32_t value_size = 0;
    std::uint32_t rank = 0;
    bool erased = false;
  };
  static constexpr std::uint32_t kEmpty = UINT32_MAX;

  [[nodiscard]] std::string_view key_of(const Entry& entry) const { return {text_.data() + entry.key, entry.key_size}; }
  [[nodiscard]] std::string_view value_of(const Entry& entry) const {
    return {text_.data() + entry.value, entry.value_size};
  }
  /// The slot of the key, or the empty one where it belongs.
  [[nodiscard]] std::size_t slot_of(std::string_view key) const;
  void grow();
  void sort();
  void sort_by_rank();
  template <class Visit>
  int each(Visit& visit) const {
    for (const Entry& entry : entries_) {
      if (entry.erased) { continue; }
      if (const int code = visit(key_of(entry), value_of(entry)); code != 0) { return code; }
    }
    return 0;
  }

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  ///< open addressing: indices of entries_
};

}  // namespace stagepost::maps
