// Keys in table files end with NUL or do not, depending on who wrote the file (postmap -N, -n, other programs). This is
// how lmdb, cdb and Berkeley DB tables find out which it is, once, instead of asking twice for every key.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/lookup.hpp"
#include "maps/table_writer.hpp"

namespace stagepost::maps {

/// What the file says, without the NUL that may end it.
[[nodiscard]] inline std::string_view without_nul(std::string_view bytes) {
  return bytes.ends_with('\0') ? bytes.substr(0, bytes.size() - 1) : bytes;
}

class StoredKey {
 public:
  /// `wanted` is what the user asked for, `usual` (with or without) the type's own way.
  StoredKey(TrailingNul wanted, TrailingNul usual) : wanted_(wanted), usual_(usual), form_(wanted) {}

  /// Another file is going to be asked.
  void forget() { form_ = wanted_; }

  /// Calls `find(bytes)`, which returns Result<Found>, with the forms the key may have until one is found; the value is
  /// returned without its NUL.
  template <class Find>
  [[nodiscard]] Result<Found> look_up(std::string_view key, Find find) {
    bytes_.assign(key);
    for (const TrailingNul form : {usual_, usual_ == TrailingNul::with ? TrailingNul::without : TrailingNul::with}) {
      if (form_ != TrailingNul::either && form_ != form) { continue; }
      bytes_.resize(key.size());
      if (form == TrailingNul::with) { bytes_.push_back('\0'); }
      Result<Found> found = find(std::string_view(bytes_));
      if (!found) { return found; }
      if (*found) {
        // Keys that end as is usual for the type do so in the whole file, but for NIS marks: one form is enough then.
        if (form == usual_) { form_ = form; }
        if ((**found).ends_with('\0')) { (**found).pop_back(); }
        return found;
      }
    }
    return Found{};
  }

 private:
  TrailingNul wanted_;
  TrailingNul usual_;
  TrailingNul form_;
  std::string bytes_;
};

}  // namespace stagepost::maps
