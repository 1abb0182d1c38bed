# Compiler and linker settings, as usage requirements of one interface target that every target of ours links.
find_package(Boost 1.81 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(CDB REQUIRED IMPORTED_TARGET libcdb)
pkg_check_modules(CAP REQUIRED IMPORTED_TARGET libcap)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc)

set(STAGEPOST_SANITIZE "" CACHE STRING "Value for -fsanitize=, e.g. address,undefined")
option(STAGEPOST_FUZZ "Build the libFuzzer targets (Clang only)" OFF)

add_library(sp_options INTERFACE)
target_compile_features(sp_options INTERFACE cxx_std_23)
# One code model for libraries and programs, so that they can share the precompiled header.
target_compile_options(sp_options INTERFACE -fPIE)
# A program loads only the libraries it really uses: start-up time of sendmail and postdrop.
target_link_options(sp_options INTERFACE -pie -Wl,--as-needed)
# Members with a default may be left out of a designated initializer on purpose.
target_compile_options(sp_options INTERFACE -Wall -Wextra -Wno-missing-designated-field-initializers -Wconversion -Wshadow -Wpedantic -Werror)
target_compile_definitions(sp_options INTERFACE BOOST_ASIO_NO_DEPRECATED)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # ccache can only reuse a precompiled header whose content does not depend on the clock.
  target_compile_options(sp_options INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
endif()
if(STAGEPOST_SANITIZE)
  target_compile_options(sp_options INTERFACE -fsanitize=${STAGEPOST_SANITIZE} -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(sp_options INTERFACE -fsanitize=${STAGEPOST_SANITIZE})
endif()
if(STAGEPOST_FUZZ)
  target_compile_options(sp_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(sp_options INTERFACE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS)
  target_link_options(sp_options INTERFACE -Wl,-z,relro,-z,now)
endif()
# Our time under load is that of cold instruction caches: what runs often lies together and is inlined, by counts of a run
# of the benchmarks (scripts/profile). A function that changed since then is compiled as without a profile.
set(STAGEPOST_PROFILE "${CMAKE_SOURCE_DIR}/cmake/release.profdata" CACHE FILEPATH "Counts for optimised builds with Clang; may be empty")
set(STAGEPOST_PROFILE_OUTPUT "" CACHE PATH "Build programs that write such counts into this directory")
if(STAGEPOST_PROFILE_OUTPUT)
  # Counters live in a mapped file (%c): a daemon that is confined cannot open one when it ends. Such files have no room for
  # profiles of values.
  target_compile_options(sp_options INTERFACE "SHELL:-Xclang -fprofile-instrument=llvm"
    "SHELL:-Xclang -fprofile-instrument-path=${STAGEPOST_PROFILE_OUTPUT}/%m%c.profraw"
    "SHELL:-mllvm -runtime-counter-relocation" "SHELL:-mllvm -disable-vp=true")
  target_link_options(sp_options INTERFACE -fprofile-generate)
elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND EXISTS "${STAGEPOST_PROFILE}")
  # Under a name that changes with the content, so that new counts compile everything anew.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${STAGEPOST_PROFILE}")
  file(MD5 "${STAGEPOST_PROFILE}" _hash)
  file(COPY_FILE "${STAGEPOST_PROFILE}" ${CMAKE_BINARY_DIR}/${_hash}.profdata ONLY_IF_DIFFERENT)
  target_compile_options(sp_options INTERFACE -fprofile-use=${CMAKE_BINARY_DIR}/${_hash}.profdata -ffunction-sections
    -Wno-profile-instr-unprofiled -Wno-profile-instr-out-of-date -Wno-backend-plugin)
endif()
# Programs that are started for each message: loading and relocating the C++ library and others is most of their work.
option(STAGEPOST_QUICK_START "sendmail, postdrop and other commands contain the C++ library, fmt and the libraries for tables" ON)
if(STAGEPOST_SANITIZE)
  set(STAGEPOST_QUICK_START OFF)
endif()
if(STAGEPOST_QUICK_START)
  foreach(_name IN ITEMS pcre2-8 lmdb cdb)
    find_library(STAGEPOST_STATIC_${_name} NAMES lib${_name}.a)
    if(STAGEPOST_STATIC_${_name})
      list(APPEND STAGEPOST_STATIC_LIBRARIES ${STAGEPOST_STATIC_${_name}})
    endif()
  endforeach()
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true ${CCACHE_PROGRAM})
endif()
