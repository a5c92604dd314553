#!/usr/bin/env bash
# tools/bench.sh BUILD_DIR  (ERNIE_CPU_ISA forces an instruction set)
# Runs the CPU benchmarks and prints a table. With LLAMA_BENCH=path/to/llama-bench, that program runs on the same
# geometry in the same run, in bf16, Q8_0 and Q4_0 (needs llama-quantize beside it, and python3 with the gguf and numpy
# packages to make its model; GGUF_PYTHON names that python).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build-bench}
echo "bench: engine at the 0.3B geometry, dummy weights in bf16, int8 and int4 (about two minutes)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measure() {
  "$build/ernie" bench engine --model ERNIE-4.5-0.3B --device cpu --batch 1,8 --input-len 8 --output-len 48 --prefill 512 \
    --quantization "$1" --json "$work/engine.json" >/dev/null
  cat "$work/engine.json"
}
engine=$(measure bf16)
int8=$(measure wint8)
int4=$(measure '{"dense_quant_type": "wint4"}')

echo "bench: matrix products of a prompt of 512 tokens, medians of nine (half a minute)"
"$build/bench/micro/micro_bench" --benchmark_filter='^linear_[a-z_]*/512/' --benchmark_repetitions=9 --benchmark_min_time=0.1 \
  --benchmark_report_aggregates_only=true --benchmark_out="$work/products.json" --benchmark_out_format=json >/dev/null 2>&1

echo "bench: CPU time of serving 64 streams of the demo model (ten seconds)"
serving=$(python3 bench/serving/overhead.py "$build/ernie" --json)

llama='null'
if [ -n "${LLAMA_BENCH:-}" ]; then
  model=$work/dummy.gguf
  echo "bench: making a dummy GGUF of the same geometry"
  "${GGUF_PYTHON:-python3}" tools/bench_gguf.py "$model"
  quantize="$(dirname "$LLAMA_BENCH")/llama-quantize"
  for type in Q8_0 Q4_0; do
    "$quantize" "$model" "$work/$type.gguf" $type 2 >/dev/null 2>&1
    # With embedding and head as ours keeps them.
    "$quantize" --token-embedding-type bf16 --output-tensor-type bf16 "$model" "$work/$type-bf16-head.gguf" $type 2 >/dev/null 2>&1
  done
  echo "bench: llama-bench on it in bf16, Q8_0 and Q4_0 (about six minutes)"
  llama=$("$LLAMA_BENCH" -m "$model" $(printf -- "-m %s " "$work"/Q*.gguf) -p 512 -n 48 -t 2 -r 3 -o json)
fi

python3 - "$work/products.json" "$engine" "$int8" "$int4" "$serving" "$llama" <<'PY'
import json, re, subprocess, sys
engine, int8, int4, serving, llama = (json.loads(text) for text in sys.argv[2:])
isa = re.search(r"\((\w+)", engine["device"])[1]
date = subprocess.check_output(["date", "-u", "+%Y-%m-%d"], text=True).strip()
out = f"bench/results/cpu-{date}-{isa}.json"
medians = [run for run in json.load(open(sys.argv[1]))["benchmarks"] if run["aggregate_name"] == "median"]
products = {run["name"].split("/")[0]: {"gflop_s": round(run["GFLOPS"], 1), "of_peak": round(run["of_peak"], 3)}
            for run in medians}
KEPT = ("model_filename", "n_prompt", "n_gen", "n_threads", "type_k", "avg_ts", "stddev_ts", "build_number", "model_type", "model_size")
llama = llama and [{key: test[key] for key in KEPT if key in test} for test in llama]
for test in llama or []:
    test["model_filename"] = test["model_filename"].rsplit("/", 1)[-1].removesuffix(".gguf")
cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
record = {"date": date, "command": "make bench", "isa": isa,
          "hardware": cpu + ", 2 threads", "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
          "engine": engine, "engine_int8": int8, "engine_int4": int4, "products_512": products, "serving": serving, "llama_bench": llama}
json.dump(record, open(out, "w"), indent=1)
decode, prefill = engine["decode"], engine["prefill"][0]
rows = [("read bandwidth", f"{engine['read_bytes_per_s'] * 1e-9:.1f} GB/s", ""),
        ("multiply-add peak", f"{engine['peak_flops'] * 1e-9:.0f} GFLOP/s", "")]
rows += [(f"decode, batch {figure['batch']}", f"{figure['tokens_per_s']:.1f} tok/s",
          f"{figure['floor_share']:.0%} of the {figure['bound']} floor") for figure in decode]
for name, run in (("int8", int8), ("int4", int4)):
    rows += [(f"{name}, decode, batch {figure['batch']}", f"{figure['tokens_per_s']:.1f} tok/s",
              f"{figure['floor_share']:.0%} of the {figure['bound']} floor") for figure in run["decode"]]
    rows.append((f"{name}, whole prefill of 512", f"{run['prefill'][0]['tokens_per_s']:.0f} tok/s", ""))
rows += [("whole prefill of 512", f"{prefill['tokens_per_s']:.0f} tok/s",
          f"{prefill['floor_share']:.0%} of the {prefill['bound']} floor"),
         ("peak memory over weights + cache", f"{(engine['peak_rss'] - engine['weight_bytes'] - engine['kv_bytes']) / 2**20:.0f} MiB", "")]
rows += [(f"{name}, 512 rows", f"{product['gflop_s']:.0f} GFLOP/s", f"{product['of_peak']:.0%} of peak") for name, product in products.items()]
# A prompt runs each once in every layer.
def whole(rate):
    return sum(run[rate] * run["real_time"] for run in medians) / sum(run["real_time"] for run in medians)
rows.append(("all products of a layer", f"{whole('GFLOPS'):.0f} GFLOP/s", f"{whole('of_peak'):.0%} of peak"))
rows.append(("serving 64 streams", f"{serving['serving_us_per_token']:.1f} us/token",
             f"{serving['serving_share_of_core']:.1%} of one core at {serving['tokens_per_s']:.0f} tok/s"))
for test in llama or []:
    what = "decode" if test["n_gen"] else "prefill"
    name = test["model_filename"].replace("dummy", "bf16")
    beside = int8 if "Q8_0" in name else int4 if "Q4_0" in name else engine
    ours = beside["decode" if test["n_gen"] else "prefill"][0]["tokens_per_s"]
    rows.append((f"llama.cpp {name}, {what}", f"{test['avg_ts']:.1f} tok/s", f"ours is {ours / test['avg_ts']:.2f}x"))
print()
for row in rows:
    print(f"{row[0]:34} {row[1]:>16}  {row[2]}")
print(f"\nwritten to {out}")
PY
