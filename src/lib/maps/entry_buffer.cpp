// See entry_buffer.hpp.
#include "maps/entry_buffer.hpp"

#include <algorithm>
#include <bit>
#include <functional>

namespace stagepost::maps {

EntryBuffer::EntryBuffer(std::size_t expected) {
  const std::size_t bounded = std::min<std::size_t>(expected, 1U << 26U);
  entries_.reserve(bounded);
  slots_.assign(std::bit_ceil(std::max<std::size_t>(bounded * 2, 64)), kEmpty);
}

std::size_t EntryBuffer::slot_of(std::string_view key) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(key)&mask;
  while (slots_[slot] != kEmpty && key_of(entries_[slots_[slot]]) != key) { slot = (slot + 1) & mask; }
  return slot;
}

bool EntryBuffer::put(std::string_view key, std::string_view value, bool overwrite) {
  if (entries_.size() * 2 >= slots_.size()) { grow(); }
  const std::size_t slot = slot_of(key);
  const bool known = slots_[slot] != kEmpty;
  if (known && !entries_[slots_[slot]].erased && !overwrite) { return false; }
  Entry entry{.key_size = static_cast<std::uint32_t>(key.size()),
              .value_size = static_cast<std::uint32_t>(value.size())};
  entry.key = known ? entries_[slots_[slot]].key : text_.size();
  if (!known) { text_.append(key); }
  entry.value = text_.size();
  text_.append(value);
  if (known) {
    entries_[slots_[slot]] = entry;
  } else {
    slots_[slot] = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back(entry);
  }
  return true;
}

bool EntryBuffer::erase(std::string_view key) {
  const std::size_t slot = slot_of(key);
  if (slots_[slot] == kEmpty || entries_[slots_[slot]].erased) { return false; }
  entries_[slots_[slot]].erased = true;
  return true;
}

void EntryBuffer::grow() {
  slots_.assign(std::bit_ceil(std::max<std::size_t>(entries_.size() * 4, 64)), kEmpty);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    slots_[slot_of(key_of(entries_[i]))] = static_cast<std::uint32_t>(i);
  }
}

void EntryBuffer::sort() {
  slots_.clear();
  std::ranges::sort(entries_, [this](const Entry& a, const Entry& b) { return key_of(a) < key_of(b); });
  slots_.assign(1, kEmpty);
}

void EntryBuffer::sort_by_rank() {
  slots_.clear();
  std::ranges::sort(entries_, {}, &Entry::rank);
  slots_.assign(1, kEmpty);
}

}  // namespace stagepost::maps
