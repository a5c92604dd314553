#include "shutdown_signal.h"

#include <csignal>
#include <cstdlib>

namespace ernie::app::shutdown_signal {
namespace {

volatile std::sig_atomic_t is_serving = 0;
volatile std::sig_atomic_t signals = 0;

void handle(int number) {
  if (!is_serving || signals > 0) std::_Exit(128 + number);
  signals = 1;
}

}  // namespace

void install() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void serving() { is_serving = 1; }
bool requested() { return signals > 0; }

}  // namespace ernie::app::shutdown_signal
