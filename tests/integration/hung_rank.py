#!/usr/bin/env python3
"""Stops the thread of one tensor-parallel rank of a server on two GPUs while it answers. Passes if the client gets an
error event and the process ends with an error within the time allowed. Needs root, or the right to trace the server.

  hung_rank.py path/to/ernie MODEL [more flags of `ernie serve`]
"""
import ctypes
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

ALLOWED_SECONDS = 5  # 2 to find the rank, the rest to tell the clients and to end
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207  # linux/ptrace.h
WALL = 0x40000000  # linux/wait.h


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_healthy(port, server):
    while server.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("hung_rank: the server ended at start")


def stop_thread(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
            for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
                if libc.ptrace(request, int(task.name), None, None) < 0:
                    sys.exit(f"hung_rank: ptrace: {os.strerror(ctypes.get_errno())}")
            return int(task.name)
    sys.exit(f"hung_rank: no thread {name}")


def thread_ends(thread):
    """Waits for a change of a traced thread; its exit status, or None if it only stopped."""
    _, status = os.waitpid(thread, WALL)
    return None if os.WIFSTOPPED(status) else status


def main():
    ernie, model, *flags = sys.argv[1:]
    port = free_port()
    server = subprocess.Popen([ernie, "serve", "--model", model, "--port", str(port), "--tensor-parallel-size", "2", *flags],
                              stderr=subprocess.PIPE, text=True)
    wait_until_healthy(port, server)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"prompt": "a", "max_tokens": 1000, "ignore_eos": True, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    events, stopped = [], None
    for line in response:
        if line.startswith(b"data: "):
            events.append(line[6:].decode().strip())
            if len(events) == 20:
                thread = stop_thread(server.pid, "ernie-rank1")
                stopped = time.monotonic()
    told = time.monotonic() - stopped
    errors = server.stderr.read()
    while thread_ends(thread) is None:  # a traced thread ends when its tracer has been told
        pass
    code = server.wait(timeout=30)
    ended = time.monotonic() - stopped
    failure = [event for event in events if event.startswith('{"error"')]
    reason = [line for line in errors.splitlines() if "inside a collective" in line]
    print(f"client told after {told:.2f} s: {failure or events[-1]}")
    print(f"exit code {code} after {ended:.2f} s; reason: {reason[-1] if reason else errors[-2000:]}")
    if not failure or code == 0 or not reason or ended > ALLOWED_SECONDS:
        sys.exit("hung_rank: FAILED")
    print("hung_rank: passed")


if __name__ == "__main__":
    main()
