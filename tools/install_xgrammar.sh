#!/usr/bin/env bash
# Fetches the source archive of XGrammar, pinned by hash, and builds it as a static library without Python bindings
# into .cache/xgrammar, where CMake looks. One source is mended (see mend() below).
set -euo pipefail

version="0.2.9"
sha256="87b466bca2475e29bb0323abc62c6c33cbcbcff47e5fb800a3e2099ac9620b90"

root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/.cache/xgrammar"
ready="$sha256 mended 1"
if [ -f "$target/ready" ] && [ "$(cat "$target/ready")" = "$ready" ]; then
  echo "install_xgrammar: $target is there"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "install_xgrammar: fetching xgrammar $version (3 MB) and building it (a minute on 2 cores)"

source="$work/source"
"$root/tools/fetch_source_archive.sh" xgrammar "$version" "$sha256" scikit_build_core.build "$source"

# The compiler computes one mask of tokens for each state of a grammar, without a way to end it. The mended one calls
# compile_checkpoint of the calling thread before each, which ends a compilation by an exception.
mend() {
  python3 - "$1" <<'PY'
import pathlib
import sys

path = pathlib.Path(sys.argv[1])
text = path.read_text()


def insert(after, addition):
    global text
    if text.count(after) != 1:
        sys.exit(f"install_xgrammar: {path.name} holds {after!r} {text.count(after)} times, expected once")
    text = text.replace(after, after + addition)


insert("/******************* GrammarCompilerNoCache *******************/\n", """
thread_local void (*compile_checkpoint)() = nullptr;  // ernie.cpp
""")
insert("""      if (!rule_fsm->GetFsm().IsScanableState(i)) {
        continue;
      }
""", """      if (compile_checkpoint != nullptr) compile_checkpoint();  // ernie.cpp
""")
path.write_text(text)
PY
}
mend "$source/cpp/grammar_compiler.cc"

mkdir "$work/build"
echo "set(XGRAMMAR_BUILD_PYTHON_BINDINGS OFF)" >"$work/build/config.cmake"
launcher="$(command -v ccache || true)"
# Its own -Werror and link-time optimisation are for its developers' compilers.
cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" \
  -DCMAKE_CXX_FLAGS="-O2 -fno-lto -Wno-error" -DCMAKE_INSTALL_PREFIX="$target" -DCMAKE_INSTALL_LIBDIR=lib >/dev/null
CCACHE_DIR="${CCACHE_DIR:-$HOME/.cache/ernie-ccache}" CCACHE_BASEDIR="$work" \
  cmake --build "$work/build" -j "$(nproc)" --target xgrammar >"$work/build.log" 2>&1 || {
  tail -40 "$work/build.log" >&2
  exit 1
}
rm -rf "$target"
cmake --install "$work/build" >/dev/null
cp "$source/LICENSE" "$source/NOTICE" "$target/"
echo "$ready" >"$target/ready"
echo "install_xgrammar: the library is in $target"
