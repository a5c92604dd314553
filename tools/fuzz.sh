#!/usr/bin/env bash
# tools/fuzz.sh [seconds for each target, 60] [target...]
# Builds the fuzz targets (fuzz/*_fuzz.cpp, without "_fuzz") with AddressSanitizer and UndefinedBehaviorSanitizer, runs each
# for so long on one core and says in a line how it ended. What ends one is kept in build-fuzz/found/TARGET, what widens
# its coverage in build-fuzz/corpus/TARGET. Exits 1 if anything was found.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
build=build-fuzz
echo "fuzz: configuring $build"
cmake -S . -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=clang++-14 -DERNIE_FUZZ=ON -DERNIE_TESTS=OFF \
  -DERNIE_SANITIZE=address,undefined -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -DNDEBUG" >/dev/null
fuzz/make_corpus.py "$build/seeds"  # a folder for each target
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls "$build/seeds")
echo "fuzz: building ${#targets[@]} targets (several minutes the first time)"
cmake --build "$build" -j "$(nproc)" --target "${targets[@]/%/_fuzz}" -- --quiet

# Most targets write files; in memory they are written ten times as fast.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
failed=0
for target in "${targets[@]}"; do
  corpus=$build/corpus/$target found=$build/found/$target log=$build/$target.log
  mkdir -p "$corpus" "$found"
  options=(-max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 -artifact_prefix="$found/"
    -print_final_stats=1 -verbosity=1 -close_fd_mask=1)
  [ -f "fuzz/$target.dict" ] && options+=("-dict=fuzz/$target.dict")
  outcome=clean
  "$build/fuzz/${target}_fuzz" "${options[@]}" "$corpus" "$build/seeds/$target" >"$log" 2>&1 || { outcome=FAILED failed=1; }
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(sed -nE 's/.*cov: ([0-9]+) .*/\1/p' "$log" | tail -1)
  printf 'fuzz: %-22s %s after %s runs in %s s at most, %s edges\n' "$target" "$outcome" "${runs:-?}" "$seconds" "${coverage:-?}"
  [ "$outcome" = clean ] || { grep -m 5 -E 'ERROR|runtime error|ernie::|SUMMARY|check' "$log" || tail -5 "$log"; echo "fuzz: see $log and $found"; }
done
exit "$failed"
