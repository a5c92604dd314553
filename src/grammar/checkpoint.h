#pragma once

#include <cstddef>

// A hook that tools/install_xgrammar.sh puts into XGrammar.
namespace xgrammar {

// Called on the thread that compiles or follows a grammar: after each mask that the compiler
// computes, with its bytes, and with 0 before each token, expression and rule that it reads,
// rewrites or makes an automaton of and each byte that a grammar is followed by, there and in a
// matcher. An exception out of it ends what is being done. Null: nothing is called.
extern thread_local void (*checkpoint)(std::size_t mask_bytes);

}  // namespace xgrammar
