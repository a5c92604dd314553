#!/usr/bin/env bash
# tools/lint.sh [BUILD_DIR]
# TypeScript's checks over the pages, and clang-tidy over the sources that BUILD_DIR (default: build) compiles, tests left out. Results of unchanged files
# are remembered in build/lint, so a second run is quick.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
[ -f "$build/compile_commands.json" ] || { echo "lint: run 'make build' first" >&2; exit 2; }
mkdir -p build/lint

tsc -p web

check() {
  local file=$1 stamp
  # A file's result holds for the same preprocessed text and the same checks.
  stamp=build/lint/$(cat .clang-tidy "$file" $(git ls-files 'src/*.h' 'apps/*.h') | sha256sum | cut -c1-24)
  [ -e "$stamp" ] && return 0
  # GCC's names of warnings mean nothing to clang.
  if clang-tidy-14 -p build/lint --quiet --extra-arg=-Wno-unknown-warning-option "$file" 2>/dev/null; then touch "$stamp"; else
    echo "lint: $file has findings (above)"; return 1
  fi
}
export -f check
# clang cannot read the headers that GCC precompiled.
sed -E 's# -Winvalid-pch -include [^ ]+/cmake_pch\.hxx##' "$build/compile_commands.json" > build/lint/compile_commands.json
compiled=$(python3 -c 'import json, os
for entry in json.load(open("build/lint/compile_commands.json")): print(os.path.relpath(entry["file"]))')
files=$(git ls-files 'src/*.cpp' 'apps/*.cpp' | grep -v '_test\.cpp$' | grep -v '^src/backend/cpu/isa/' |
  grep -Fx -f <(echo "$compiled") || true)
echo "lint: clang-tidy on $(wc -w <<<"$files") files with $(nproc) jobs (several minutes the first time)"
xargs -P "$(nproc)" -I{} bash -c 'check {}' <<<"$files"
echo "lint: clean"
