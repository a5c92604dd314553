#!/usr/bin/env bash
# tools/sanitize.sh address,undefined | thread
# Builds the matching test programs with that sanitizer in build-<name> and runs them; with the first two, a server under a
# random load, too.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?"usage: tools/sanitize.sh address,undefined | thread"}
case $kind in
  thread) tests=(base_test comm_test sched_test engine_test serve_test http_test) ;;
  *) tests=(base_test comm_test media_test text_test grammar_test sched_test model_test engine_test obs_test serve_test
    http_test backend_cpu_test) ;;
esac
build=build-${kind%%,*}
echo "sanitize: configuring $build for -fsanitize=$kind"
cmake -S . -B "$build" -G Ninja -DERNIE_SANITIZE="$kind" -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -DNDEBUG" >/dev/null
targets=()
for t in "${tests[@]}"; do
  ninja -C "$build" -t query "$t" >/dev/null 2>&1 && targets+=("$t")
done
echo "sanitize: building ${targets[*]}"
cmake --build "$build" -j "$(nproc)" --target "${targets[@]}" -- --quiet
export TSAN_OPTIONS="halt_on_error=1" UBSAN_OPTIONS="print_stacktrace=1" ASAN_OPTIONS="detect_leaks=1"
# Sanitized code is several times slower: property tests get a shorter time.
export ERNIE_PROPERTY_SECONDS=5 RC_PARAMS="max_success=20"
pattern=$(IFS='|'; echo "^(${targets[*]})$")
ctest --test-dir "$build" -R "$pattern" --output-on-failure -j 1
[ "$kind" = thread ] && exit 0

echo "sanitize: building ernie"
cmake --build "$build" -j "$(nproc)" --target ernie -- --quiet
echo "sanitize: serving for a minute"
# Memory that is freed stays in quarantine, so it is not flat.
bench/serving/chaos.py --ernie "$build/ernie" --seconds 60 --clients 8 --memory-bar-mb 4000
