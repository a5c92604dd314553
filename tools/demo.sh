#!/usr/bin/env bash
# tools/demo.sh path/to/ernie
# Serves the demo model on this machine's CPU and asks it about the pictures in models/demo/pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
ernie=${1:-build/ernie}
model=models/demo
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)

echo "demo: starting $ernie serve --model $model --port $port (log: $log)"
"$ernie" serve --model "$model" --port "$port" --max-model-len 2048 --max-num-seqs 4 \
  --reasoning-parser ernie-45-vl --limit-mm-per-prompt '{"image": 4}' \
  --mm-processor-kwargs "$(cat "$model/mm_processor_kwargs.json")" >"$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -f "$log"' EXIT

for _ in $(seq 300); do
  curl -sf -o /dev/null "http://127.0.0.1:$port/health" && break
  kill -0 $server 2>/dev/null || { cat "$log"; echo "demo: the server ended; its log is above" >&2; exit 1; }
  sleep 0.1
done
curl -sf -o /dev/null "http://127.0.0.1:$port/health" || { cat "$log"; echo "demo: not ready after 30 s" >&2; exit 1; }

python3 tools/demo_ask.py "http://127.0.0.1:$port" "$model/pictures"
echo
echo "demo: done. Serve it yourself:  $ernie serve --model $model --port 8180"
echo "      and talk to it:           $ernie chat --url http://127.0.0.1:8180"
