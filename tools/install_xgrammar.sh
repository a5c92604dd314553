#!/usr/bin/env bash
# Fetches the source archive of XGrammar, pinned by hash, and builds it as a static library without Python bindings
# into .cache/xgrammar, where CMake looks. Some sources are mended (see below).
set -euo pipefail

version="0.2.9"
sha256="87b466bca2475e29bb0323abc62c6c33cbcbcff47e5fb800a3e2099ac9620b90"

root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/.cache/xgrammar"
ready="$sha256 mended 3"
if [ -f "$target/ready" ] && [ "$(cat "$target/ready")" = "$ready" ]; then
  echo "install_xgrammar: $target is there"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "install_xgrammar: fetching xgrammar $version (3 MB) and building it (a minute on 2 cores)"

source="$work/source"
"$root/tools/fetch_source_archive.sh" xgrammar "$version" "$sha256" scikit_build_core.build "$source"

# Three mends, each for what a client's grammar could otherwise take of time or memory:
# - The compiler computes one mask of tokens for each state of a grammar, without a way to end it. It now calls
#   compile_checkpoint of the calling thread before each (true) and before each byte of the tokens it tries (false), which
#   ends a compilation by an exception.
# - For each rule it keeps what follows the rule's first use, to guess tokens ahead: of a sequence of n rules, n * n / 2
#   elements. What follows at length is now taken for unknown, as it is where a rule is used twice.
# - Each matcher kept flags for every pair of a rule and a state. A state belongs to one rule: one table does.
python3 - "$source/cpp" <<'PY'
import pathlib
import sys

sources = pathlib.Path(sys.argv[1])


def replace(name, old, new):
    path = sources / name
    text = path.read_text()
    if text.count(old) != 1:
        sys.exit(f"install_xgrammar: {name} holds {old!r} {text.count(old)} times, expected once")
    path.write_text(text.replace(old, new))


def insert(name, after, addition):
    replace(name, after, after + addition)


insert("grammar_compiler.cc", "/******************* GrammarCompilerNoCache *******************/\n", """
thread_local void (*compile_checkpoint)(bool mask) = nullptr;  // ernie.cpp
""")
insert("grammar_compiler.cc", """      if (!rule_fsm->GetFsm().IsScanableState(i)) {
        continue;
      }
""", """      if (compile_checkpoint != nullptr) compile_checkpoint(true);  // ernie.cpp
""")
insert("earley_parser.cc", "namespace xgrammar {\n", """
extern thread_local void (*compile_checkpoint)(bool mask);  // ernie.cpp
""")
insert("earley_parser.cc", "bool EarleyParser::Advance(const uint8_t ch, bool debug_print) {\n",
       """  if (compile_checkpoint != nullptr) compile_checkpoint(false);  // ernie.cpp
""")
insert("grammar_functor.cc", """          auto& info = rule_lookahead_infos_[element_expr[0]];
""", """          if (sequence_expr.size() - j > 256) {  // ernie.cpp
            info.non_last_occurrence_count += 2;
            continue;
          }
""")
for name in ("earley_parser.cc", "earley_parser.h"):
    replace(name, "auto& flags_cache = fsm_state_flags_cache_[rule_id];",
            "auto& flags_cache = fsm_state_flags_cache_[0];  // ernie.cpp")
PY

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
