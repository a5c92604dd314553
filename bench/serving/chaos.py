#!/usr/bin/env python3
"""Half an hour of everything at once against a server of its own: good clients, whose greedy answers were asked for in
quiet before, and among them clients that leave, slow readers, hostile bodies, requests too many for the cache (preemption)
and restarts by SIGTERM under load. Prints a summary as JSON. Exit code 1 unless at least 99.99 % of the good requests
that were taken were answered right, each with one end, the server ended with code 0 each time, memory and descriptors
of each of its lives were flat, and something was preempted.

  chaos.py --ernie build/ernie --model models/demo [--seconds 1800] [--clients 12] [--seed 1] [--memory-bar-mb 48]
"""
import argparse
import collections
import http.client
import json
import pathlib
import random
import socket
import sys
import threading
import time

from served import CHAT, ROOT, Served, bit_png, chat, data_url, head, image

# A cache of 1,536 tokens for up to eight sequences of up to 1,024: they preempt one another.
FLAGS = ["--max-model-len", "1024", "--max-num-seqs", "8", "--num-gpu-blocks-override", "24", "--max-num-batched-tokens", "256",
         "--limit-mm-per-prompt", '{"image": 2, "video": 1}', "--max-inflight-mb", "512", "--check-invariants"]
MOST_MEDIA_TOKENS = {"image_min_pixels": 784, "image_max_pixels": 50176, "video_min_pixels": 784, "video_max_pixels": 12544}
PERIODS = 3  # of load in each life, with a look at memory and descriptors after each; then a restart in the midst of another
FLAT_DESCRIPTORS = 2


def questions():
    """Bodies whose greedy answers do not depend on what else runs."""
    for i in range(16):
        yield chat(f"Question {i}: what is {i} + {3 * i}? " + "Think of it well. " * (i * i // 3), max_tokens=4 + 9 * i, ignore_eos=i % 2 == 0)
    for i in range(4):
        yield chat([image(bit_png(40 + 60 * i, 85 * i)), {"type": "text", "text": "What is it?"}], max_tokens=12 + 20 * i, ignore_eos=True)


HOSTILE = [
    b"", b"{", b"[]", b"\xff\xfe", b'{"messages":' + b"[" * 100_000, b'{"messages":[]}', b'{"messages":"x"}',
    json.dumps(chat("Hi", n=10**9)).encode(), json.dumps(chat("Hi", temperature=-1)).encode(),
    json.dumps(chat("word " * 400_000)).encode(), b'{"x":[' + b"0," * (6 << 20) + b"0]}",
    b'{"x":{' + b",".join(b'"%d":0' % i for i in range(100_000)) + b"}}",
    json.dumps(chat([image(b"\x89PNG\r\n\x1a\n no more")])).encode(),
    json.dumps(chat([image(bit_png(20_000))])).encode(),
    json.dumps(chat([{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}])).encode(),
    json.dumps(chat([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])).encode(),
    json.dumps(chat("Hi", logit_bias={"-1": 5})).encode(), json.dumps(chat("Hi", n=64, max_tokens=10**9, logprobs=True, top_logprobs=21)).encode(),
]
# Costs much and is answered.
LARGE = json.dumps(chat([{"type": "video", "video": [data_url(bit_png(5_000))] * 40}], max_tokens=1)).encode()
REFUSALS = {400, 404, 405, 408, 413, 415, 429, 431, 503}


class Lost(Exception):
    """No end, or a wrong one."""


class Chaos:
    def __init__(self, args):
        self.args, self.lock = args, threading.Lock()
        self.counts, self.examples = collections.Counter(), []
        self.load = threading.Event()      # clients work while it is set
        self.ended = threading.Event()
        self.restarting = threading.Event()
        self.working = 0
        kwargs = pathlib.Path(args.model) / "mm_processor_kwargs.json"
        media = kwargs.read_text() if kwargs.exists() else json.dumps(MOST_MEDIA_TOKENS)
        self.server = Served(args.ernie, args.model, *FLAGS, "--mm-processor-kwargs", media)
        self.bodies = list(questions())
        self.known = [self.answer(body, False) for body in self.bodies]
        self.preemptions = 0
        self.lives, self.exit_codes, self.problems = [], [], []

    def count(self, what, example=None):
        with self.lock:
            self.counts[what] += 1
            if example is not None and len(self.examples) < 20:
                self.examples.append(f"{what}: {example[:300]}")

    # -- what clients do

    def answer(self, body, stream):
        """The text of an answer, None where it was refused. Raises Lost or OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=300)
        try:
            more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
            connection.request("POST", CHAT, json.dumps({**body, **more}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status in (429, 503):
                json.loads(response.read())["error"]["message"]
                return None
            if response.status != 200:
                raise Lost(f"status {response.status} {response.read(300)}")
            if not stream:
                choice, = json.loads(response.read())["choices"]
                return choice["message"]["content"] + "|" + choice["finish_reason"]
            return self.streamed(response)
        except (http.client.IncompleteRead, ValueError, KeyError) as error:
            raise Lost(repr(error)) from error
        finally:
            connection.close()

    @staticmethod
    def streamed(response):
        text, ends, done, usage = "", [], 0, 0
        for line in response.read().split(b"\n"):
            if line == b"data: [DONE]":
                done += 1
            elif line.startswith(b"data: "):
                event = json.loads(line[6:])
                if done or "error" in event:
                    raise Lost(f"after {text[-40:]!r}: {event}")
                usage += "usage" in event and event["usage"] is not None and not event["choices"]
                for choice in event["choices"]:
                    text += choice["delta"].get("content") or ""
                    ends += [choice["finish_reason"]] if choice.get("finish_reason") else []
        if len(ends) != 1 or done != 1 or usage != 1:
            raise Lost(f"ends {ends}, {done} [DONE], {usage} usage")
        return text + "|" + ends[0]

    def good(self, rng):
        number = rng.randrange(len(self.bodies))
        try:
            text = self.answer(self.bodies[number], rng.random() < 0.6)
            if text is None:
                self.count("good: refused")
                time.sleep(0.2)
            elif text == self.known[number]:
                self.count("good: right")
            else:
                self.count("good: wrong", f"question {number}: {text!r} in place of {self.known[number]!r}")
        except Lost as error:
            self.count("good: lost", f"question {number}: {error}")
        except OSError as error:
            # While it restarts nobody listens, and what the kernel had queued for it is reset.
            if self.restarting.is_set():
                self.count("good: not taken in a restart")
                time.sleep(0.2)
            else:
                self.count("good: lost", f"question {number}: {error!r}")

    def long_stream(self, rng):
        body = json.dumps(chat("Go on. " * rng.randrange(1, 60), max_tokens=rng.randrange(100, 700), ignore_eos=True, stream=True,
                               n=rng.choice([1, 1, 3]), temperature=1)).encode()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.server.port))
        client.sendall(head(CHAT, len(body), Connection="close") + body)
        return client

    def leaver(self, rng):
        with self.long_stream(rng) as client:
            if rng.random() < 0.7:
                client.recv(100)
            time.sleep(rng.uniform(0, 0.5))
        self.count("left")

    def slow_reader(self, rng):
        end = time.monotonic() + 8
        with self.long_stream(rng) as client:
            while time.monotonic() < end and client.recv(256):
                time.sleep(0.01)
        self.count("read slowly")

    def glutton(self, rng):
        body = chat("Tell me more. " * rng.randrange(1, 80), max_tokens=rng.randrange(50, 500), ignore_eos=True, n=rng.randrange(2, 9),
                    temperature=1, seed=rng.randrange(1000))
        status, _ = self.server.request("POST", CHAT, body, timeout=300)
        self.count("gluttons", None if status in (200, 429, 503) else f"status {status}")
        if status not in (200, 429, 503):
            self.problems.append(f"a glutton got {status}")

    def foe(self, rng):
        body = rng.choice([*HOSTILE, LARGE])
        status, text = self.server.request("POST", CHAT, body)
        self.count("hostile bodies")
        if body is LARGE and status == 200:
            return
        if status not in REFUSALS or set(json.loads(text)["error"]) != {"message", "type", "param", "code"}:
            self.problems.append(f"a hostile body {body[:60]!r} got {status} {text[:100]!r}")

    def half_sent(self, rng):
        with self.server.connect() as client:
            client.sendall(head(CHAT, 10_000, Expect="100-continue" if rng.random() < 0.2 else "x")[:rng.randrange(20, 160)])
            time.sleep(rng.uniform(0, 0.3))
        self.count("half sent")

    def client(self, number):
        rng = random.Random(f"{self.args.seed}/{number}")
        bad = [self.leaver, self.slow_reader, self.glutton, self.foe, self.half_sent]
        while not self.ended.is_set():
            if not self.load.wait(0.1):
                continue
            with self.lock:
                self.working += 1
            try:
                if number % 2 == 0:
                    self.good(rng)
                else:
                    rng.choices(bad, [3, 1, 2, 4, 2])[0](rng)
            except OSError as error:
                self.count("others: connection ended", None if self.restarting.is_set() else repr(error))
                time.sleep(0.2)
            finally:
                with self.lock:
                    self.working -= 1

    # -- the course of the half hour

    def settle(self):
        """Stops the load and waits until nothing runs."""
        self.load.clear()
        end = time.monotonic() + 300
        while self.working and time.monotonic() < end:
            time.sleep(0.05)
        if self.working or not self.server.wait_until_idle():
            self.problems.append("something still ran minutes after the load had ended")

    def look(self, life):
        """Memory and descriptors in quiet; against those of the life's first look they get 30 s to come down."""
        end = time.monotonic() + 30
        while True:
            sample = {"rss_mb": round(self.server.rss() / 1e6, 1), "descriptors": self.server.descriptors()}
            flat = not life or (sample["rss_mb"] <= life[0]["rss_mb"] + self.args.memory_bar_mb and
                                sample["descriptors"] <= life[0]["descriptors"] + FLAT_DESCRIPTORS)
            if flat or time.monotonic() > end:
                break
            time.sleep(0.5)
        life.append(sample)
        if not flat:
            self.problems.append(f"not flat: {life}")

    def live(self, period):
        life = []
        self.lives.append(life)
        for _ in range(PERIODS):
            self.load.set()
            time.sleep(period)
            self.settle()
            self.look(life)
        self.preemptions += int(self.server.gauge("fastdeploy:request_preempted_total"))
        self.load.set()
        time.sleep(min(period, 5))
        self.restarting.set()
        self.exit_codes.append(self.server.stop(seconds=120))
        if self.exit_codes[-1] != 0:
            self.problems.append(f"the server ended with {self.exit_codes[-1]}: {self.server.output()}")

    def run(self):
        begin = time.monotonic()
        threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(self.args.clients)]
        for thread in threads:
            thread.start()
        period = min(60.0, self.args.seconds / 8)
        while True:
            self.live(period)
            if time.monotonic() - begin + (PERIODS + 1) * period > self.args.seconds:
                break
            self.server.start()
            self.restarting.clear()
        self.load.clear()
        self.ended.set()
        for thread in threads:
            thread.join(30)
        return time.monotonic() - begin

    def summary(self, seconds):
        right, bad = self.counts["good: right"], self.counts["good: wrong"] + self.counts["good: lost"]
        share = right / max(1, right + bad)
        if share < 0.9999:
            self.problems.append(f"{bad} of {right + bad} good requests were not answered right")
        if not self.preemptions:
            self.problems.append("nothing was preempted")
        return {"seconds": round(seconds), "good_right_share": share, "counts": dict(sorted(self.counts.items())),
                "preemptions": self.preemptions, "restarts": len(self.exit_codes), "exit_codes": self.exit_codes, "lives": self.lives,
                "examples": self.examples, "problems": self.problems}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ernie", default=ROOT / "build/ernie")
    parser.add_argument("--model", default=ROOT / "models/demo")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--clients", type=int, default=12, help="every second one is good")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory-bar-mb", type=float, default=48, help="what a life may grow by after its first period")
    chaos = Chaos(parser.parse_args())
    summary = chaos.summary(chaos.run())
    print(json.dumps(summary, indent=1))
    return 1 if summary["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
