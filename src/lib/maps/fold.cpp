// See fold.hpp.
#include "maps/fold.hpp"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/stringpiece.h>

#include "base/text.hpp"

namespace stagepost::maps {

std::string fold_case(std::string_view key, Utf8 utf8) {
  if (utf8 == Utf8::off || text::is_ascii(key) || !text::is_utf8(key)) { return text::to_lower(key); }
  std::string folded;
  folded.reserve(key.size());
  icu::StringByteSink<std::string> sink(&folded);
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8Fold(0, icu::StringPiece(key.data(), static_cast<std::int32_t>(key.size())), sink, nullptr, status);
  return U_SUCCESS(status) ? folded : text::to_lower(key);
}

}  // namespace stagepost::maps
