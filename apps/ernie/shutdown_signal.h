#pragma once

namespace ernie::app {

// SIGTERM, SIGINT and SIGHUP, the last unless it is ignored already (nohup). Until serving() is
// called each ends the process at once; then the first one only makes requested() true, and a
// second one ends the process at once with status 128 + its number.
namespace shutdown_signal {
void install();
void serving();
bool requested();
}  // namespace shutdown_signal

}  // namespace ernie::app
