# Headers that most sources read, precompiled once for the libraries and once for the tests: a quarter of the
# compile time. Sources still include what they use; .ci/run also builds with CMAKE_DISABLE_PRECOMPILE_HEADERS.
set(ernie_common_headers
  <algorithm> <array> <atomic> <chrono> <cmath> <condition_variable> <cstdint> <cstring> <filesystem> <fstream>
  <functional> <map> <memory> <mutex> <optional> <set> <span> <string> <string_view> <thread> <unordered_map> <utility>
  <variant> <vector> <fmt/format.h> <spdlog/spdlog.h> <boost/json.hpp>)
set(ernie_pch_source ${CMAKE_BINARY_DIR}/precompiled.cpp)
file(CONFIGURE OUTPUT ${ernie_pch_source} CONTENT "int main() {}\n")

add_library(ernie_pch OBJECT ${ernie_pch_source})
target_link_libraries(ernie_pch PUBLIC spdlog::spdlog Boost::json)
target_precompile_headers(ernie_pch PRIVATE ${ernie_common_headers})

if(ERNIE_TESTS)
  add_executable(ernie_test_pch EXCLUDE_FROM_ALL ${ernie_pch_source})
  target_link_libraries(ernie_test_pch PRIVATE spdlog::spdlog Boost::json GTest::gtest GTest::gmock)
  target_precompile_headers(ernie_test_pch PRIVATE ${ernie_common_headers} <gtest/gtest.h> <gmock/gmock.h> <rapidcheck.h>)
endif()
