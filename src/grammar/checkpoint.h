#pragma once

// A hook that tools/install_xgrammar.sh puts into XGrammar.
namespace xgrammar {

// Called on the thread that compiles or follows a grammar: before each mask that the compiler
// computes (true) and before each byte that a grammar is followed by (false), there and in a
// matcher. An exception out of it ends what is being done. Null: nothing is called.
extern thread_local void (*checkpoint)(bool mask);

}  // namespace xgrammar
