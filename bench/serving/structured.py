#!/usr/bin/env python3
"""What structured output costs: streams of chosen numbers at once, with a format and without, in turns on one server.

  structured.py [--url http://127.0.0.1:8180] [--clients 64] [--tokens 128] [--rounds 3]

Prints the median time for a token of an answer, its prompt included, and the ratio. Dummy weights are fine: the formats have no
end before the tokens are spent.
"""
import argparse
import http.client
import json
import statistics
import threading
import time
import urllib.parse

FORMATS = {
    "without": {},
    "regex": {"guided_regex": "[a-z ]+"},
    "json": {"guided_json": {"type": "array", "minItems": 100, "items": {"type": "object", "properties": {
        "name": {"type": "string"}, "count": {"type": "integer"}}, "required": ["name", "count"],
        "additionalProperties": False}}},
}


def answer(url, body, gaps, failures):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=120)
    start = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        failures.append(text.decode())
        return
    tokens = json.loads(text)["usage"]["completion_tokens"]
    if tokens != body["max_tokens"]:
        failures.append(f"an answer ended after {tokens} tokens")
    gaps.append((time.perf_counter() - start) / tokens)


def run(url, clients, tokens, fields, seed):
    gaps, failures = [], []
    # A format may allow the end of the answer after any token.
    bodies = [{"model": "m", "prompt": [100 + (7 * i + j) % 1000 for j in range(64)], "max_tokens": tokens, "min_tokens": tokens,
               "temperature": 1, "seed": seed + i, **fields} for i in range(clients)]
    threads = [threading.Thread(target=answer, args=(url, body, gaps, failures)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"{len(failures)} failed: {failures[0]}")
    return statistics.median(gaps) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8180")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    url = urllib.parse.urlparse(args.url)
    times = {name: [] for name in FORMATS}
    for name, fields in FORMATS.items():  # grammars are compiled once
        run(url, 2, 8, fields, 0)
    for round_number in range(args.rounds):
        for name, fields in FORMATS.items():
            times[name].append(run(url, args.clients, args.tokens, fields, 1000 * round_number))
    base = statistics.median(times["without"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:8}  {middle:7.3f} ms a token  {middle / base:5.3f}  (rounds: "
              + ", ".join(f"{value:.3f}" for value in values) + ")")


if __name__ == "__main__":
    main()
