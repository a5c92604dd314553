#pragma once

#include <string>
#include <vector>

namespace ernie::app {

// Each takes the arguments after its name and returns the exit status. They throw StartError, which
// main() prints and turns into 2.
int run_serve(std::vector<std::string> args);
int run_pack(std::vector<std::string> args);
int run_batch_command(std::vector<std::string> args);
int run_chat(std::vector<std::string> args);
int run_bench(std::vector<std::string> args);
int run_plan(std::vector<std::string> args);  // 1: does not fit

}  // namespace ernie::app
