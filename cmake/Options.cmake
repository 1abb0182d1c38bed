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
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true ${CCACHE_PROGRAM})
endif()
