#!/usr/bin/env bash
# tools/exam.sh path/to/ernie [serve flags]
# Serves the demo model and asks it the exam questions: the committed subset, or the file EXAM. Prints marks by
# category.
set -euo pipefail
cd "$(dirname "$0")/.."
ernie=${1:-build/ernie}
shift || true
exam=${EXAM:-tools/exam/subset.jsonl.gz}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
"$ernie" serve --model models/demo --port "$port" --max-model-len 2048 --max-num-seqs 4 \
  --reasoning-parser ernie-45-vl --limit-mm-per-prompt '{"image": 4}' \
  --mm-processor-kwargs "$(cat models/demo/mm_processor_kwargs.json)" "$@" >"$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 300); do
  curl -sf -o /dev/null "http://127.0.0.1:$port/health" && break
  kill -0 $server 2>/dev/null || { cat "$log"; echo "exam: the server ended; its log is above" >&2; exit 1; }
  sleep 0.1
done
echo "exam: asking the questions of $exam (the subset takes about a minute)"
python3 tools/exam/run_exam.py "$exam" --base-url "http://127.0.0.1:$port/v1" --threads 2
