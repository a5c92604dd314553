#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/version.h"
#include "commands.h"
#include "print_error.h"

namespace {

constexpr const char* kUsage = R"(ernie: serve ERNIE-4.5 and ERNIE-4.5-VL models

  ernie serve --model FOLDER [flags]   serve a model over HTTP, OpenAI-compatible
  ernie run-batch -i IN -o OUT ...     answer a file of requests (OpenAI's batch form)
  ernie pack --model FOLDER [flags]    write a model's weights quantised and cut for GPUs
  ernie chat [--url URL]               talk to a server in the terminal, with pictures
  ernie plan --model NAME              say what memory a model takes and where it fits
  ernie bench engine --model NAME      measure the engine alone, beside what the machine can do
  ernie bench serve --url URL          measure a server under load
  ernie --version
  ernie --help

"ernie COMMAND --help" lists the flags of a command.
)";

int run(const std::vector<std::string>& args) {
  const std::string command = args.empty() ? "--help" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (command == "serve") return ernie::app::run_serve(rest);
  if (command == "run-batch") return ernie::app::run_batch_command(rest);
  if (command == "pack") return ernie::app::run_pack(rest);
  if (command == "chat") return ernie::app::run_chat(rest);
  if (command == "plan") return ernie::app::run_plan(rest);
  if (command == "bench") return ernie::app::run_bench(rest);
  if (command == "--version" || command == "version") {
    fmt::print("ernie {}\n", ernie::kVersion);
    return 0;
  }
  if (command == "--help" || command == "-h" || command == "help") {
    fmt::print("{}", kUsage);
    return args.empty() ? 2 : 0;
  }
  throw ernie::StartError("unknown command \"" + command + "\"; see ernie --help");
}

// Where one of the three standard streams is closed, the next file or socket would take its place,
// and lines of the log would go there. Writing fails instead, as it would to a closed stream.
void hold_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

}  // namespace

// 0: done, 1: failed while running, 2: could not start.
int main(int argc, char** argv) {
  hold_standard_streams();
  spdlog::set_default_logger(spdlog::stderr_color_mt("ernie"));
  try {
    const int status = run(std::vector<std::string>(argv + 1, argv + argc));
    if (std::fflush(stdout) == 0) return status;
    throw std::runtime_error(std::string("cannot write the output: ") + std::strerror(errno));
  } catch (const ernie::StartError& e) {
    ernie::app::print_error("ernie: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    ernie::app::print_error("ernie: {}\n", e.what());
    return 1;
  }
}
