// ICU, loaded when the first name comes that is not ASCII. Commands seldom meet one, and to
// link the library would cost each start of sendmail and postdrop a sixth of its page faults.
#pragma once

#include <unicode/ucasemap.h>
#include <unicode/uidna.h>

namespace stagepost::mail {

/// The functions that this layer uses.
struct Icu {
  decltype(&::uidna_openUTS46) open_uts46 = nullptr;
  decltype(&::uidna_close) close_idna = nullptr;
  decltype(&::uidna_nameToASCII_UTF8) name_to_ascii = nullptr;
  decltype(&::uidna_nameToUnicodeUTF8) name_to_unicode = nullptr;
  decltype(&::ucasemap_open) open_case_map = nullptr;
  decltype(&::ucasemap_close) close_case_map = nullptr;
  decltype(&::ucasemap_utf8FoldCase) fold_case = nullptr;
};

/// Null when the library of the version that we were built with is not there. For any thread. A process that will not
/// be able to open files must have called it before (daemon::run does).
[[nodiscard]] const Icu* icu();

}  // namespace stagepost::mail
