#!/usr/bin/env bash
# Fetches the source archive of XGrammar, pinned by hash, and builds it as a static library without Python bindings
# into .cache/xgrammar, where CMake looks. Some sources are mended (see below).
set -euo pipefail

version="0.2.9"
sha256="87b466bca2475e29bb0323abc62c6c33cbcbcff47e5fb800a3e2099ac9620b90"

root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/.cache/xgrammar"
ready="$sha256 mended 6"
if [ -f "$target/ready" ] && [ "$(cat "$target/ready")" = "$ready" ]; then
  echo "install_xgrammar: $target is there"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "install_xgrammar: fetching xgrammar $version (3 MB) and building it (a minute on 2 cores)"

source="$work/source"
"$root/tools/fetch_source_archive.sh" xgrammar "$version" "$sha256" scikit_build_core.build "$source"

# The mends, most of them for what a client's grammar could otherwise take of time or memory:
# - Compiling and following a grammar have no way to end. The thread's `checkpoint` is called after each mask that the
#   compiler computes, with its bytes, and with 0 before each token, expression and rule that it reads, rewrites or makes an
#   automaton of and each byte that a grammar is followed by; an exception out of it ends them.
# - Rules behind whose end the whole text ends are treated as the root is: tokens that go on behind it are refused when
#   masks are computed. Without that, a mask of `[a-z ]+` takes 1.6 ms in place of 2 us.
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
// ernie.cpp: for each rule whether the whole text ends where it ends: whoever refers to it is such a rule and ends with it.
static std::vector<bool> FindLastRules(const Grammar& grammar) {
  const int rules = grammar->NumRules();
  std::vector<bool> last(rules, true);
  std::vector<std::vector<int>> ends_with(rules);
  std::vector<int> others;  // found to be followed by something, not yet passed on
  const auto exclude = [&](int rule) {
    if (last[rule]) others.push_back(rule);
    last[rule] = false;
  };
  for (int rule = 0; rule < rules; ++rule) {
    const auto& rule_fsm = grammar->per_rule_fsms[rule]->GetFsm();
    const auto& fsm = rule_fsm.GetFsm();
    std::unordered_set<int> states;
    rule_fsm.GetReachableStates(&states);
    for (int state : states) {
      for (const auto& edge : fsm.GetEdges(state)) {
        if (edge.IsRepeatRef()) exclude(fsm.GetRepeatEdgeInfo(edge.GetAuxIndex()).RuleId());
        if (!edge.IsRuleRef()) continue;
        if (rule_fsm.IsEndState(edge.target) && fsm.GetEdges(edge.target).size() == 0) {
          ends_with[rule].push_back(edge.GetRefRuleId());
        } else {
          exclude(edge.GetRefRuleId());
        }
      }
    }
  }
  while (!others.empty()) {
    const int rule = others.back();
    others.pop_back();
    for (int referred : ends_with[rule]) exclude(referred);
  }
  return last;
}
""")
insert("grammar_compiler.cc", "  auto root_rule_id = compiled_grammar_impl->grammar->GetRootRuleId();\n",
       """  const std::vector<bool> last_rules = FindLastRules(compiled_grammar_impl->grammar);  // ernie.cpp
""")
replace("grammar_compiler.cc", "rule_id == root_rule_id);", "rule_id == root_rule_id || last_rules[rule_id]);  // ernie.cpp")
insert("grammar_compiler.cc", "    auto cur_adaptive_token_mask_cache = grammar_matcher.GetAdaptiveTokenMask(is_root_rule);\n", """
    if (checkpoint != nullptr) checkpoint(MemorySize(cur_adaptive_token_mask_cache));  // ernie.cpp
""")
insert("earley_parser.h", "namespace xgrammar {\n", """
extern thread_local void (*checkpoint)(std::size_t mask_bytes);  // ernie.cpp
""")
insert("earley_parser.cc", "namespace xgrammar {\n", """
thread_local void (*checkpoint)(std::size_t mask_bytes) = nullptr;  // ernie.cpp
""")
insert("earley_parser.cc", "bool EarleyParser::Advance(const uint8_t ch, bool debug_print) {\n",
       """  if (checkpoint != nullptr) checkpoint(0);  // ernie.cpp
""")
for name in ("grammar_parser.cc", "grammar_functor.h"):
    insert(name, "namespace xgrammar {\n", """
extern thread_local void (*checkpoint)(std::size_t mask_bytes);  // ernie.cpp
""")
insert("grammar_parser.cc", "std::vector<EBNFLexer::Token>> EBNFLexer::Impl::NextToken() {\n",
       """  if (checkpoint != nullptr) checkpoint(0);  // ernie.cpp
""")
insert("grammar_functor.h", "  virtual T VisitExpr(const GrammarExpr& grammar_expr) {\n",
       """    if (checkpoint != nullptr) checkpoint(0);  // ernie.cpp
""")
replace("grammar_functor.cc", "      auto rule_fsm = BuildRuleFSM(*grammar, i, &grammar_builder);\n",
        """      if (checkpoint != nullptr) checkpoint(0);  // ernie.cpp
      auto rule_fsm = BuildRuleFSM(*grammar, i, &grammar_builder);
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
