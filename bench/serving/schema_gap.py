#!/usr/bin/env python3
"""The largest gap in streams while the server compiles large schemas of another client.

  schema_gap.py [--ernie build/ernie] [--model models/demo] [--streams 4] [--seconds 6] [--kilobytes 200] [--json FILE] [flags...]

Serves the model on this machine and measures, in turns, quiet and with new schemas sent one after the other. A gap is the time
between two chunks of one stream. The bar is 50 ms over the largest quiet gap.
"""
import argparse
import datetime
import http.client
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import threading
import time

from served import CHAT, ROOT, Served, chat

BAR_MS = 50


def schema_of(kilobytes, number):
    """Objects of objects, no two alike, as a program would write down its types."""
    properties = {}
    size = 0
    for i in itertools.count():
        if size >= kilobytes * 1000:
            break
        name = f"field_{number}_{i}"
        properties[name] = {
            "type": "object", "additionalProperties": False, "required": ["name", "count", "kind"], "properties": {
                "name": {"type": "string", "description": f"What number {i} is called where it is sold, in the singular."},
                "count": {"type": "integer", "minimum": 0, "description": f"How many of number {i} the text speaks of."},
                "kind": {"enum": [f"{name}_a", f"{name}_b"]}}}
        size += len(json.dumps(properties[name])) + len(name) + 6
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


class Stream(threading.Thread):
    """Asks again and again until the end, and keeps the gaps between chunks."""

    def __init__(self, port, end):
        super().__init__()
        self.port, self.end, self.gaps, self.failure = port, end, [], None

    def run(self):
        while time.monotonic() < self.end and not self.failure:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            body = chat("Tell a story.", max_tokens=500, ignore_eos=True, stream=True)
            connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                self.failure = response.read().decode()
                return
            last = None
            while (line := response.readline()) and time.monotonic() < self.end:
                if line.startswith(b"data: {"):
                    now = time.perf_counter()
                    if last:
                        self.gaps.append(1e3 * (now - last))
                    last = now
            connection.close()


def compile_schemas(server, kilobytes, numbers, end, times):
    while time.monotonic() < end:
        body = chat("Hello", max_tokens=1, guided_json=schema_of(kilobytes, next(numbers)))
        start = time.perf_counter()
        status, text = server.request("POST", CHAT, body)
        if status != 200:
            raise SystemExit(f"the schema was refused with {status}: {text.decode()[:300]}")
        times.append(time.perf_counter() - start)


def phase(server, args, numbers):
    """Sorted gaps in ms, and seconds of each compilation if `numbers` are given."""
    end = time.monotonic() + args.seconds
    streams = [Stream(server.port, end) for _ in range(args.streams)]
    times = []
    for stream in streams:
        stream.start()
    if numbers:
        compile_schemas(server, args.kilobytes, numbers, end, times)
    for stream in streams:
        stream.join()
        if stream.failure:
            raise SystemExit(stream.failure)
    return sorted(gap for stream in streams for gap in stream.gaps), times


def summary(gaps):
    return {"gaps": len(gaps), "p50_ms": round(gaps[len(gaps) // 2], 1), "p99_ms": round(gaps[len(gaps) * 99 // 100], 1),
            "largest_ms": round(gaps[-1], 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ernie", default=ROOT / "build/ernie")
    parser.add_argument("--model", default=ROOT / "models/demo")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kilobytes", type=int, default=200)
    parser.add_argument("--json", type=pathlib.Path)
    args, flags = parser.parse_known_args()
    load = os.getloadavg()[0]
    server = Served(args.ernie, args.model, *flags)
    numbers = itertools.count()
    quiet, compiling, seconds = [], [], []
    try:
        phase(server, argparse.Namespace(streams=1, seconds=1), None)
        for _ in range(args.rounds):
            quiet.append(phase(server, args, None)[0])
            gaps, times = phase(server, args, numbers)
            compiling.append(gaps)
            seconds += times
    finally:
        server.stop()
    cpu = next(l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo", encoding="ascii") if l.startswith("model name"))
    result = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["bench/serving/schema_gap.py", *flags]),
        "hardware": f"{cpu}, {os.cpu_count()} threads, streams, schemas and server on the same machine",
        "load_average": f"{load:.1f} before, {os.getloadavg()[0]:.1f} after",
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip(),
        "streams": args.streams, "schema_kilobytes": args.kilobytes, "schemas": len(seconds),
        "schema_seconds": {"p50": round(statistics.median(seconds), 2), "largest": round(max(seconds), 2)},
        "quiet": [summary(gaps) for gaps in quiet], "compiling": [summary(gaps) for gaps in compiling],
        "bar_over_quiet_ms": BAR_MS,
        "over_quiet_ms": round(max(gaps[-1] for gaps in compiling) - max(gaps[-1] for gaps in quiet), 1)}
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
