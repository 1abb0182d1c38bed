// libbson's documents as values, and JSON text as documents. Everything else calls libbson itself.
#pragma once

#include <bson/bson.h>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace stagepost::maps::mongodb {

/// Owns a document. Not a unique_ptr: a template would lose the alignment of bson_t. For the same reason functions take
/// documents by pointer: the library's own allocations are aligned less than its type says.
class Bson {
 public:
  /// An empty document.
  Bson() : document_(::bson_new()) {}
  Bson(Bson&& other) noexcept : document_(std::exchange(other.document_, nullptr)) {}
  Bson& operator=(Bson&& other) noexcept {
    std::swap(document_, other.document_);
    return *this;
  }
  ~Bson() {
    if (document_ != nullptr) { ::bson_destroy(document_); }
  }

  [[nodiscard]] bson_t* get() { return document_; }
  [[nodiscard]] const bson_t* get() const { return document_; }

 private:
  bson_t* document_;
};

/// One JSON object, with MongoDB's extensions ({"$oid": ...}). Errors: what the parser says; anything but white space
/// behind the object.
[[nodiscard]] Result<Bson> parse_json(std::string_view json);

}  // namespace stagepost::maps::mongodb
