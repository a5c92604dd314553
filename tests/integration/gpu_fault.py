#!/usr/bin/env python3
"""Breaks the GPU under a server that answers, and looks at what its clients and its operator are told.

  gpu_fault.py path/to/ernie MODEL [more flags of `ernie serve`]

A kernel that traps, and one that never ends: every client gets an error event within the time allowed, and the process ends with
an error and a reason. Memory that is gone: the server needs none while it serves, so answers go on. Needs a C compiler.
"""
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from hung_rank import free_port, wait_until_healthy

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = 4
ALLOWED_SECONDS = 2.5  # 2 to find the fault, the rest to tell the clients


class Stream(threading.Thread):
    """One client; `first` is set when its answer has begun."""

    def __init__(self, port, tokens):
        super().__init__()
        self.port, self.tokens = port, tokens
        self.first, self.events, self.ended = threading.Event(), [], None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = {"prompt": "a", "max_tokens": self.tokens, "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                self.events.append(line[6:].decode().strip())
                self.first.set()
        self.ended = time.monotonic()

    def error(self):
        return next((event for event in self.events if event.startswith('{"error"')), None)


def check(kind, ernie, model, flags, injector, folder):
    fault = folder / f"fault-{kind}"
    port = free_port()
    server = subprocess.Popen([ernie, "serve", "--model", model, "--port", str(port), *flags], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "LD_PRELOAD": str(injector), "GPU_FAULT": str(fault)})
    wait_until_healthy(port, server)
    streams = [Stream(port, 200 if kind == "oom" else 100_000) for _ in range(CLIENTS)]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.first.wait(60)
    (folder / "new").write_text(kind)
    (folder / "new").rename(fault)
    broken = time.monotonic()
    for stream in streams:
        stream.join(60)
    if kind == "oom":
        later = Stream(port, 50)
        later.start()
        later.join(60)
        right = all(s.events and s.events[-1] == "[DONE]" and not s.error() for s in [*streams, later])
        server.terminate()
        code = server.wait(60)
        print(f"oom: answers {'go on' if right else 'FAILED'}; exit code {code}")
        return right and code == 0
    told = max(stream.ended or float("inf") for stream in streams) - broken
    try:
        code = server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
        code = None
    ended = time.monotonic() - broken
    reasons = [line for line in server.stderr.read().splitlines() if "[error]" in line or "[critical]" in line]
    print(f"{kind}: {sum(bool(s.error()) for s in streams)} of {CLIENTS} clients told, the last after {told:.2f} s; exit code {code} "
          f"after {ended:.2f} s\n  client: {streams[0].error()}\n  log: {reasons[-1] if reasons else 'no reason'}")
    no_source = all(".cpp" not in (s.error() or "") for s in streams)
    return all(s.error() for s in streams) and no_source and code not in (0, None) and reasons and told <= ALLOWED_SECONDS


def main():
    ernie, model, *flags = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        injector = folder / "injector.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", HERE / "gpu_fault_injector.c", "-o", injector, "-ldl", "-lpthread"], check=True)
        failed = [kind for kind in ("oom", "trap", "spin") if not check(kind, ernie, model, flags, injector, folder)]
    if failed:
        sys.exit(f"gpu_fault: FAILED: {', '.join(failed)}")
    print("gpu_fault: passed")


if __name__ == "__main__":
    main()
