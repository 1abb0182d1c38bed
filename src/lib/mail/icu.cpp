#include "mail/icu.hpp"

#include <dlfcn.h>
#include <optional>

#include <unicode/uvernum.h>

namespace stagepost::mail {
namespace {

// ICU's headers rename each function to one with the version in its name; this is how the library calls it.
#define SP_ICU_TEXT_(name) #name
#define SP_ICU_TEXT(name) SP_ICU_TEXT_(name)
#define SP_ICU_LOAD(target, name) target = reinterpret_cast<decltype(target)>(::dlsym(library, SP_ICU_TEXT(name)))

std::optional<Icu> load() {
  void* const library = ::dlopen("libicuuc.so." SP_ICU_TEXT(U_ICU_VERSION_MAJOR_NUM), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) { return std::nullopt; }
  Icu icu;
  SP_ICU_LOAD(icu.open_uts46, uidna_openUTS46);
  SP_ICU_LOAD(icu.close_idna, uidna_close);
  SP_ICU_LOAD(icu.name_to_ascii, uidna_nameToASCII_UTF8);
  SP_ICU_LOAD(icu.name_to_unicode, uidna_nameToUnicodeUTF8);
  SP_ICU_LOAD(icu.open_case_map, ucasemap_open);
  SP_ICU_LOAD(icu.close_case_map, ucasemap_close);
  SP_ICU_LOAD(icu.fold_case, ucasemap_utf8FoldCase);
  const bool complete = icu.open_uts46 != nullptr && icu.close_idna != nullptr && icu.name_to_ascii != nullptr &&
                        icu.name_to_unicode != nullptr && icu.open_case_map != nullptr &&
                        icu.close_case_map != nullptr && icu.fold_case != nullptr;
  return complete ? std::optional(icu) : std::nullopt;
}

}  // namespace

const Icu* icu() {
  static const std::optional<Icu> loaded = load();
  return loaded ? &*loaded : nullptr;
}

}  // namespace stagepost::mail
