#!/usr/bin/env python3
"""CPU time that serving costs beside the engine: 64 streams of a small model, by thread of the server.

  overhead.py path/to/ernie [--streams 64] [--tokens 800] [--json]

The client reads raw bytes with one selector, so that it takes as little of the machine as it can.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import selectors
import sys
import time

from served import CHAT, ROOT, Served, head

ENGINE_THREADS = ("ernie-rank", "ernie-cpu")  # compute; everything else is serving


def cpu_seconds(pid):
    """CPU seconds by thread name."""
    tick = os.sysconf("SC_CLK_TCK")
    by_name = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        stat = (task / "stat").read_text()
        fields = stat[stat.rindex(")") + 2:].split()
        by_name[(task / "comm").read_text().strip()] += (int(fields[11]) + int(fields[12])) / tick
    return by_name


def stream_all(server, streams, tokens):
    body = json.dumps({"messages": [{"role": "user", "content": "Tell me a story."}], "stream": True, "temperature": 1.0,
                       "max_tokens": tokens, "min_tokens": tokens, "enable_thinking": False}).encode()
    selector = selectors.DefaultSelector()
    for _ in range(streams):
        s = server.connect()
        s.sendall(head(CHAT, len(body), Connection="close") + body)
        selector.register(s, selectors.EVENT_READ, [b"", 0])
    events = 0
    while selector.get_map():
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 16)
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                if b"[DONE]" not in key.data[0]:
                    sys.exit(f"overhead: a stream ended early: {key.data[0]!r}")
                continue
            events += len(re.findall(rb"data: \{", data))
            key.data[0] = (key.data[0] + data)[-200:]
    return events


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ernie")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=800)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    args = parser.parse_args()
    model = ROOT / "models/demo"
    server = Served(args.ernie, model, "--max-model-len", "1024", "--max-num-seqs", str(args.streams),
                    "--mm-processor-kwargs", (model / "mm_processor_kwargs.json").read_text())
    try:
        stream_all(server, args.streams, 16)  # warm up
        before, began = cpu_seconds(server.process.pid), time.monotonic()
        events = stream_all(server, args.streams, args.tokens)
        wall, after = time.monotonic() - began, cpu_seconds(server.process.pid)
    finally:
        server.stop()
    used = {name: after[name] - before[name] for name in after}
    serving = sum(seconds for name, seconds in used.items() if not name.startswith(ENGINE_THREADS))
    tokens = args.streams * args.tokens
    record = {"streams": args.streams, "tokens": tokens, "events": events, "wall_s": round(wall, 3),
              "tokens_per_s": round(tokens / wall, 1), "serving_us_per_token": round(serving / tokens * 1e6, 2),
              "serving_share_of_core": round(serving / wall, 4),
              "cpu_s_by_thread": {name: round(s, 2) for name, s in sorted(used.items()) if s > 0}}
    if args.json:
        print(json.dumps(record))
        return
    for name, value in record.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
