#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ernie::app {

// The name of a flag in an argument such as "--max_model_len=8": "max-model-len". Empty if the
// argument is no long flag.
std::string flag_name(const std::string& argument);

// Spells flags one way: '-' for '_' in names, --tensor-parallel-size for -tp, and a negative number
// joined to its flag, so that it is not taken for one.
std::vector<std::string> normalize(std::vector<std::string> args);

// Parses normalized arguments. Throws StartError that points to "ernie COMMAND --help"; lets
// CLI::CallForHelp pass.
void parse_arguments(CLI::App& app, std::vector<std::string> args, const char* command);

// For CLI::Option::check(): what is wrong with a number of 64 bits, of which CLI11 would take one
// that is too large for the largest. Empty: nothing.
std::string check_uint64(const std::string& text);

// The flags of a YAML file as arguments, without those that `args` has too. Values may be lists
// (the flag is repeated) and maps (passed on as JSON). Throws StartError; `is_flag` says whether a
// name is known and must throw or return false for others.
std::vector<std::string> read_config_file(const std::string& path,
                                          const std::vector<std::string>& args,
                                          const std::function<bool(const std::string&)>& is_flag);

}  // namespace ernie::app
