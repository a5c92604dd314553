#!/usr/bin/env python3
"""Drives a server with requests of every kind and size for a while and says how each ended. Exit code 1 if one that
was accepted was lost, if an answer was neither whole nor an error the API documents, or if the server is not idle and
healthy in the end.

  random_mix.py --base-url http://127.0.0.1:8000 --seconds 600 --max-model-len 32768 [--clients 96] [--seed 1] [--images 4]
"""
import argparse
import collections
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse

from served import image, png


def colourful_png(rng, width, height):
    row = bytes([0]) + bytes(rng.randrange(256) for _ in range(48)) * (width // 16 + 2)
    data = b"".join(row[:1] + row[1 + 3 * (y % 8):1 + 3 * (y % 8) + 3 * width] for y in range(height))
    return png(width, height, 8, 2, data)


def log_uniform(rng, low, high):
    return min(high, max(low, int(low * (high / low) ** rng.random())))


def sampling(rng):
    out = {"temperature": rng.choice([0, 0.7, 1.0, 1.5]), "top_p": rng.choice([1.0, 0.8, 0.3]), "seed": rng.randrange(1 << 30)}
    for name, values in (("top_k", [1, 20, 1000]), ("min_p", [0.05]), ("repetition_penalty", [1.1]), ("frequency_penalty", [0.5]),
                         ("presence_penalty", [0.5]), ("stop", [["a"], ["the", "x"]])):
        if rng.random() < 0.15:
            out[name] = rng.choice(values)
    return out


def make(rng, args):
    """-> (path, body, answers expected, should be refused)."""
    longest = args.max_model_len
    body = sampling(rng)
    body["stream"] = rng.random() < 0.7
    if body["stream"]:
        body["stream_options"] = {"include_usage": True}
    if args.images and rng.random() < 0.35:
        parts = [{"type": "text", "text": "What is this?"}]
        for _ in range(rng.randint(1, args.images)):
            picture = colourful_png(rng, log_uniform(rng, 8, 1600), log_uniform(rng, 8, 1600))
            parts.append(image(picture))
        rng.shuffle(parts)
        body["messages"] = [{"role": "user", "content": parts}]
        body["max_tokens"] = log_uniform(rng, 1, 512)
        if rng.random() < 0.2:
            body["logprobs"], body["top_logprobs"] = True, rng.randint(0, 5)
        return "/v1/chat/completions", body, 1, False
    refused = rng.random() < 0.02
    length = longest + rng.randint(0, 100) if refused else log_uniform(rng, 1, longest - 1)
    body["prompt"] = [rng.randrange(300, 2000) for _ in range(length)]
    room = max(1, longest - length)
    body["max_tokens"] = min(log_uniform(rng, 1, room), args.max_tokens)
    body["ignore_eos"] = rng.random() < 0.5
    if length * 4 < longest and rng.random() < 0.1:
        body["n"] = rng.randint(2, 4)
    return "/v1/completions", body, body.get("n", 1), refused


class Mix:
    def __init__(self, args):
        self.args, self.url = args, urllib.parse.urlsplit(args.base_url)
        self.lock, self.outcomes, self.wrong = threading.Lock(), collections.Counter(), []
        self.tokens = collections.Counter()

    def connect(self, timeout=600):
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)

    def count(self, outcome, wrong=None):
        with self.lock:
            self.outcomes[outcome] += 1
            if wrong:
                self.wrong.append(wrong[:400])

    def one(self, rng):
        path, body, answers, refused = make(rng, self.args)
        leave = time.monotonic() + rng.uniform(0.01, 3) if body["stream"] and rng.random() < 0.15 else None
        connection = self.connect()
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                text = response.read().decode(errors="replace")
                fine = response.status == 429 or (response.status == 400 and refused)
                self.count(f"status {response.status}", None if fine else f"{path}: {response.status} {text}")
                return
            if refused:
                self.count("not refused", f"a prompt of {len(body['prompt'])} tokens was not refused")
                return
            if body["stream"]:
                self.read_stream(response, answers, leave)
                return
            value = json.loads(response.read())
            self.finish([c["finish_reason"] for c in value["choices"]], answers, value["usage"])
        except OSError as error:
            self.count("connection lost", f"{path}: {error!r}")
        finally:
            connection.close()

    def read_stream(self, response, answers, leave):
        reasons, usage, ended = [], None, False
        for line in response:
            if leave and time.monotonic() > leave:
                self.count("client left")
                return
            if not line.startswith(b"data: "):
                continue
            if line.startswith(b"data: [DONE]"):
                ended = True
                break
            event = json.loads(line[6:])
            if "error" in event:
                self.count("error event", str(event))
                return
            reasons += [c["finish_reason"] for c in event["choices"] if c.get("finish_reason")]
            usage = event.get("usage") or usage
        if ended:
            self.finish(reasons, answers, usage)
        else:
            self.count("cut off", f"a stream ended without [DONE] after {reasons}")

    def finish(self, reasons, answers, usage):
        if len(reasons) != answers or not usage or any(r not in ("stop", "length") for r in reasons):
            self.count("incomplete", f"finish reasons {reasons} of {answers} answers, usage {usage}")
            return
        with self.lock:
            self.tokens.update(prompt=usage["prompt_tokens"], generated=usage["completion_tokens"])
        self.count("finished")

    def client(self, number, end):
        rng = random.Random(f"{self.args.seed}/{number}")
        while time.monotonic() < end:
            self.one(rng)

    def gauge(self, text, name):
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def check_idle(self):
        for _ in range(100):
            connection = self.connect(10)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            if not self.gauge(text, "fastdeploy:num_requests_running") + self.gauge(text, "fastdeploy:num_requests_waiting"):
                break
            time.sleep(0.1)
        else:
            self.wrong.append("requests are still running or waiting")
        connection = self.connect(10)
        connection.request("GET", "/health")
        if connection.getresponse().status != 200:
            self.wrong.append("the server is not healthy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=96)
    parser.add_argument("--max-model-len", type=int, required=True)
    parser.add_argument("--max-tokens", type=int, default=4096)
    parser.add_argument("--images", type=int, default=4, help="most pictures of a request; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    mix, end = Mix(args), time.monotonic() + args.seconds
    threads = [threading.Thread(target=mix.client, args=(i, end), daemon=True) for i in range(args.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=max(1.0, end + 300 - time.monotonic()))
        if thread.is_alive():
            mix.wrong.append("a client still waits for its answer")
    mix.check_idle()
    print(json.dumps({"outcomes": mix.outcomes, "tokens": mix.tokens, "wrong": len(mix.wrong), "examples": mix.wrong[:10]}, indent=1))
    sys.exit(1 if mix.wrong else 0)


if __name__ == "__main__":
    main()
