#!/usr/bin/env bash
# tools/sanitize_kernels.sh memcheck | racecheck [SECONDS] [NAME]
# Runs the kernel tests of build-cuda, or those whose program or case contains NAME, under compute-sanitizer on a GPU,
# JOBS (6) at once and each for at most SECONDS (300). Exit code: 1 if one found something, else 3 if one ran out of time.
set -euo pipefail
cd "$(dirname "$0")/.."
export TOOL=${1:?"usage: tools/sanitize_kernels.sh memcheck | racecheck [SECONDS] [NAME]"}
export SECONDS_EACH=${2:-300}
export ERNIE_KERNELS_SANITIZED=1
name=${3:-}
command -v compute-sanitizer >/dev/null || { echo "sanitize_kernels: compute-sanitizer of the CUDA toolkit is not in PATH"; exit 2; }

run_case() {
  local program=build-cuda/kernels/$1 begin=$SECONDS output code=0
  output=$(timeout "$SECONDS_EACH" compute-sanitizer --tool "$TOOL" --error-exitcode 9 "$program" "$2" 2>&1) || code=$?
  # racecheck also reports kernels of cuBLASLt, which are not ours to mend. (Left out with --kernel-name, they fault.)
  local reported remark=""
  reported=$(grep ' access at ' <<<"$output" || true)
  if [[ $TOOL = racecheck && $code = 9 && -n $reported && ! $reported =~ ernie|flashinfer ]] &&
    grep -q ' passed, 0 failed' <<<"$output"; then
    code=0 remark=", but for cuBLASLt"
  fi
  case $code in
    0) echo "ok        $1 $2 ($((SECONDS - begin)) s)$remark" ;;
    124) echo "too slow  $1 $2" ;;
    *) printf 'FAILED    %s %s (exit code %s)\n%s\n' "$1" "$2" "$code" "$(tail -n 20 <<<"$output")" ;;
  esac
}
export -f run_case
run_at_once() { xargs -r -P "$1" -L 1 bash -c 'run_case "$0" "$1"' | tee -a "$log"; }

cases=()
for source in kernels/*/*_test.cu; do
  program=$(basename "$source" .cu)
  while read -r case; do
    [[ "$program $case" = *"$name"* ]] || continue
    [[ -x build-cuda/kernels/$program ]] || { echo "sanitize_kernels: build-cuda/kernels/$program is not built (CONTRIBUTING.md)"; exit 2; }
    cases+=("$program $case")
  done < <(sed -n 's/^KERNEL_TEST(\(.*\)) {$/\1/p' "$source")
done
[[ ${#cases[@]} -gt 0 ]] || { echo "sanitize_kernels: no test has \"$name\" in its name"; exit 2; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
printf '%s\n' "${cases[@]}" | { grep -v '^all_reduce_test' || true; } | run_at_once "${JOBS:-6}"
# Ranks wait for each other on two GPUs, which must both be theirs at the time.
printf '%s\n' "${cases[@]}" | { grep '^all_reduce_test' || true; } | run_at_once 1
echo "$(grep -c '^ok' "$log" || true) clean, $(grep -c '^too slow' "$log" || true) too slow, $(grep -c '^FAILED' "$log" || true) failed"
! grep -q '^FAILED' "$log" || exit 1
! grep -q '^too slow' "$log" || exit 3
