# Third-party libraries; docs/dependencies.md says why each was chosen.
# tools/install_deps.sh installs them all on Debian 12.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(spdlog 1.10 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(GIF REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp libwebpdemux)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
# XGrammar has no package: tools/install_xgrammar.sh builds it into .cache.
set(ERNIE_XGRAMMAR ${CMAKE_SOURCE_DIR}/.cache/xgrammar CACHE PATH "Where XGrammar is installed")
if(NOT EXISTS ${ERNIE_XGRAMMAR}/ready)
  message(FATAL_ERROR "XGrammar is not in ${ERNIE_XGRAMMAR}: run tools/install_xgrammar.sh")
endif()
add_library(xgrammar::xgrammar STATIC IMPORTED)
set_target_properties(xgrammar::xgrammar PROPERTIES
  IMPORTED_LOCATION ${ERNIE_XGRAMMAR}/lib/libxgrammar.a
  INTERFACE_INCLUDE_DIRECTORIES ${ERNIE_XGRAMMAR}/include
  INTERFACE_LINK_LIBRARIES Threads::Threads)
if(ERNIE_TESTS)
  find_package(GTest 1.12 REQUIRED)
  find_library(RAPIDCHECK rapidcheck REQUIRED)
endif()
if(ERNIE_BENCH)
  find_package(benchmark 1.7 REQUIRED)
endif()
