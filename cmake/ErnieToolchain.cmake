# Compiler settings that hold for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# The shipped program runs on any x86-64; faster instruction sets are chosen at run time, so no -march here.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
# Only GCC's warnings are errors, as other compilers warn of other things, and not where sanitizers make it warn wrongly.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wno-missing-field-initializers>")
if(NOT ERNIE_SANITIZE)
  add_compile_options("$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Werror>")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # The looseness that ccache asks for where headers are precompiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(ERNIE_SANITIZE)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${ERNIE_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all;-g1>")
  add_link_options(-fsanitize=${ERNIE_SANITIZE})
endif()
if(ERNIE_FUZZ)
  # Of "undefined", "function" is left out: with it clang 14 fails at coroutines.
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link;-fno-sanitize=function>")
endif()

# Every target is given the definitions of the libraries in the precompiled headers, which would not fit it otherwise.
add_compile_definitions(
  "$<$<COMPILE_LANGUAGE:CXX>:BOOST_JSON_NO_LIB;BOOST_JSON_DYN_LINK;BOOST_CONTAINER_NO_LIB;BOOST_CONTAINER_DYN_LINK>")
