#!/usr/bin/env python3
"""Attacks a server of its own, one attack after another, while a client with a key asks small questions, and prints that
client's 99th percentile when all is quiet and under each attack, and the slowest answer of /health. Exit code 1 if a
question failed, if the percentile is not below twice the quiet one + 100 ms, or if /health took over 100 ms.

  attacks.py --ernie build/ernie --model models/demo [--seconds 10] [--only NAME...] [--json FILE]
"""
import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

from served import CHAT, ROOT, Client, Served, bit_png, chat, data_url, head, image

KEY, FOE = "friend", "foe"  # the foe has a key of its own, which some attacks use
FLAGS = ["--max-model-len", "2048", "--max-num-seqs", "8", "--limit-mm-per-prompt", '{"image": 4, "video": 4}',
         "--api-key", KEY, "--api-key", FOE, "--allow-private-media"]
BIG = 64 << 20  # bytes: the largest body


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Watch:
    """Asks questions and looks at /health, each on a thread of its own, until stop()."""

    def __init__(self, server):
        self.server, self.ended = server, threading.Event()
        self.questions, self.health, self.failures = [], [], []
        self.threads = [threading.Thread(target=self.ask), threading.Thread(target=self.look)]
        for thread in self.threads:
            thread.start()

    def timed(self, seconds, *request, **more):
        begin = time.monotonic()
        try:
            status, text = self.server.request(*request, **more)
            if status != 200:
                self.failures.append(f"{request[1]}: {status} {text[:200].decode(errors='replace')}")
        except OSError as error:
            self.failures.append(f"{request[1]}: {error!r}")
        seconds.append(time.monotonic() - begin)

    def ask(self):
        number = 0
        while not self.ended.is_set():
            number += 1
            self.timed(self.questions, "POST", CHAT, chat(f"What is {number % 50} + {number % 7}?", max_tokens=4), key=KEY)
            time.sleep(0.02)

    def look(self):
        while not self.ended.is_set():
            self.timed(self.health, "GET", "/health")
            time.sleep(0.05)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        return {"questions": len(self.questions), "looks": len(self.health), "p50_ms": round(1000 * percentile(self.questions, 0.5), 1),
                "p99_ms": round(1000 * percentile(self.questions, 0.99), 1),
                "health_worst_ms": round(1000 * max(self.health), 1), "failures": len(self.failures),
                "first_failure": self.failures[0] if self.failures else None}


class Foe:
    """What an attack does its work with; everything ends at `end`. Numbers beside attacks are those of docs/robustness.md."""

    def __init__(self, server, end):
        self.server, self.end, self.sockets = server, end, []

    def over(self):
        return time.monotonic() >= self.end

    def hold(self, count, bytes_of, many_addresses=False):
        """Opens connections, sends each what bytes_of(i) gives, and keeps them open."""
        for i in range(count):
            if self.over():
                break
            address = f"127.0.{1 + i // 200}.{1 + i % 200}" if many_addresses else "127.0.0.1"
            try:
                client = self.server.connect(address, timeout=2)
                self.sockets.append(client)
                client.sendall(bytes_of(i))
            except OSError:
                time.sleep(0.01)
        time.sleep(max(0, self.end - time.monotonic()))

    def repeat(self, threads, work):
        """Runs work() again and again on so many threads."""
        def loop():
            while not self.over():
                try:
                    work()
                except OSError:
                    pass
        running = [threading.Thread(target=loop) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def post(self, body, key=FOE):
        return self.server.request("POST", CHAT, body, key=key, timeout=max(1, self.end - time.monotonic()))

    def leave(self):
        for client in self.sockets:
            client.close()


def half_heads(foe):  # A13
    foe.hold(4200, lambda i: b"GET /health HTTP/1.1\r\nHo")


def half_heads_of_many(foe):  # A13
    foe.hold(4200, lambda i: b"GET /health HTTP/1.1\r\nHo", many_addresses=True)


def idle_connections(foe):  # A15
    foe.hold(4200, lambda i: b"", many_addresses=True)


def announced_bodies(foe):  # A13
    foe.hold(600, lambda i: head(CHAT, BIG))


def announced_bodies_with_key(foe):  # A13
    foe.hold(600, lambda i: head(CHAT, BIG, key=FOE) + b'{"a')


def bodies_for_health(foe):  # A13
    foe.hold(200, lambda i: head("/health", BIG, method="GET") + b"x" * 100)


def last_byte_missing(foe):  # A14
    body = b" " * (BIG - 1)
    foe.hold(20, lambda i: head(CHAT, BIG, key=FOE) + body)


def connect_and_close(foe):  # A16
    foe.repeat(2, lambda: foe.server.connect().close())


def bad_keys(foe):  # A17
    foe.repeat(4, lambda: foe.post(chat("Hi"), key="guess"))


def small_values(foe):  # A31
    body = b'{"messages":[],"x":[' + b"0," * (30 << 20) + b"0]}"
    foe.repeat(2, lambda: foe.post(body))


def colliding_keys(foe):  # A31
    body = b'{"x":{' + b",".join(b'"%d":0' % i for i in range(1_000_000)) + b"}}"
    foe.repeat(2, lambda: foe.post(body))


def long_prompts(foe):  # A43
    body = json.dumps(chat("ab " * (10 << 20))).encode()
    foe.repeat(2, lambda: foe.post(body))


def large_pictures(foe):  # A55
    body = json.dumps(chat([image(bit_png(9_000)), {"type": "text", "text": "?"}], max_tokens=1)).encode()
    foe.repeat(4, lambda: foe.post(body))


def large_videos(foe):  # A61
    frame = data_url(bit_png(10_000))
    body = json.dumps(chat([{"type": "video", "video": [frame] * 20}], max_tokens=1)).encode()
    foe.repeat(4, lambda: foe.post(body))


def pictures_that_never_come(foe):  # A53
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
        body = chat([{"type": "image_url", "image_url": {"url": url}}])
        foe.repeat(16, lambda: foe.post(body))


def slow_readers(foe):  # A14
    body = json.dumps(chat("Hi", max_tokens=1500, ignore_eos=True, stream=True, logprobs=True, top_logprobs=20)).encode()
    foe.hold(4, lambda i: head(CHAT, len(body), key=FOE) + body)


def leavers(foe):  # A87
    body = json.dumps(chat("Hi", max_tokens=1500, ignore_eos=True, stream=True)).encode()

    def ask_and_leave():
        with foe.server.connect() as client:
            client.sendall(head(CHAT, len(body), key=FOE) + body)
            time.sleep(0.05)
    foe.repeat(2, ask_and_leave)


def many_choices(foe):  # A34
    body = chat("Hi", max_tokens=64, ignore_eos=True, n=16, temperature=1)
    foe.repeat(2, lambda: foe.post(body))


ATTACKS = {attack.__name__: attack for attack in (
    half_heads, half_heads_of_many, idle_connections, announced_bodies, announced_bodies_with_key, bodies_for_health,
    last_byte_missing, connect_and_close, bad_keys, small_values, colliding_keys, long_prompts, large_pictures, large_videos,
    pictures_that_never_come, slow_readers, leavers, many_choices)}


def run_foe(args):
    """The attacker, a process of its own, so that its work is not the watcher's."""
    foe = Foe(Client(args.port), time.monotonic() + args.seconds)
    ATTACKS[args.attack](foe)
    foe.leave()


def measure(server, args, name):
    watch = Watch(server)
    if name is None:
        time.sleep(args.seconds)
    else:
        subprocess.run([sys.executable, __file__, "--attack", name, "--port", str(server.port), "--seconds", str(args.seconds)],
                       check=False, stderr=subprocess.DEVNULL, timeout=args.seconds + 120)
    result = watch.stop()
    result["idle_after"] = server.wait_until_idle()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ernie", default=ROOT / "build/ernie")
    parser.add_argument("--model", default=ROOT / "models/demo")
    parser.add_argument("--seconds", type=float, default=10, help="of each attack")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, help="these attacks; all by default")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.attack:
        return run_foe(args)

    kwargs = pathlib.Path(args.model) / "mm_processor_kwargs.json"
    flags = FLAGS + (["--mm-processor-kwargs", kwargs.read_text()] if kwargs.exists() else [])
    server = Served(args.ernie, args.model, *flags)
    measure(server, args, None)  # warms up
    quiet = measure(server, args, None)
    bar = 2 * quiet["p99_ms"] + 100
    print(f"{'quiet':28} p99 {quiet['p99_ms']:7.1f} ms, /health at most {quiet['health_worst_ms']:6.1f} ms")
    figures, bad = {}, []
    for name in args.only or ATTACKS:
        figure = figures[name] = measure(server, args, name)
        fine = (figure["p99_ms"] < bar and figure["health_worst_ms"] < 100 and not figure["failures"] and figure["idle_after"])
        bad += [] if fine else [name]
        print(f"{name:28} p99 {figure['p99_ms']:7.1f} ms, /health at most {figure['health_worst_ms']:6.1f} ms, "
              f"{figure['failures']} of {figure['questions'] + figure['looks']} questions and looks failed{'' if fine else '  <- over the bar'}", flush=True)
        if figure["first_failure"]:
            print(f"    {figure['first_failure']}")
    code = server.stop()
    print(f"the bar is {bar:.1f} ms and 100 ms for /health; {len(bad)} of {len(figures)} attacks over it; exit code {code}")
    if args.json:
        cpu = next(l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo", encoding="ascii") if l.startswith("model name"))
        args.json.write_text(json.dumps(
            {"date": time.strftime("%Y-%m-%d", time.gmtime()), "command": " ".join(sys.argv),
             "hardware": f"{cpu}, {os.cpu_count()} threads, attacker and watcher on the same machine",
             "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip(),
             "flags": flags, "bar_p99_ms": bar, "bar_health_ms": 100, "quiet": quiet, "attacks": figures, "over_the_bar": bad},
            indent=1) + "\n")
    return 1 if bad or code != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
