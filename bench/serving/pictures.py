#!/usr/bin/env python3
"""A prompt of many pictures: time to its first token, new and sent again, and what other streams notice.

  pictures.py [--url http://127.0.0.1:8180] [--pictures 90] [--size 1024] [--streams 4]

Needs Pillow. The pictures are JPEGs of random shapes. A prompt of as many tokens of text shows what of the time is the decoder's.
Streams of text run alone, beside such a prompt and beside the pictures; each time the longest gaps between two events are printed.
Dummy weights are fine.
"""
import argparse
import base64
import http.client
import io
import json
import random
import threading
import time
import urllib.parse

from PIL import Image, ImageDraw

CHAT = "/v1/chat/completions"


def picture(seed, size):
    rng = random.Random(seed)
    noise = Image.frombytes("L", (size, size), rng.randbytes(size * size)).point(lambda v: v // 6)
    image = noise.convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, r = rng.randrange(size), rng.randrange(size), rng.randrange(8, size // 4)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(rng.randrange(256) for _ in range(3)))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def stream(url, body, stop=None, path=CHAT):
    """Times of the events, from the start of the request."""
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
    payload = json.dumps({"model": "m", "stream": True, "stream_options": {"include_usage": True}, **body})
    start = time.perf_counter()
    connection.request("POST", path, payload, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(response.read().decode())
    times, usage = [], None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        usage = event.get("usage") or usage
        if event["choices"] and event["choices"][0].get("delta", {"text"}) != {"role": "assistant"}:
            times.append(time.perf_counter() - start)
        if stop and stop.is_set():
            break
    connection.close()
    return times, usage


def longest_gaps(url, streams, work):
    """Runs `work` beside streams of text; the longest gap of each, in ms."""
    stop, gaps = threading.Event(), []

    def run(seed):
        body = {"messages": [{"role": "user", "content": f"{seed} " * 32}], "max_tokens": 2000, "ignore_eos": True,
                "temperature": 1, "seed": seed}
        times, _ = stream(url, body, stop)
        gaps.append(1e3 * max(b - a for a, b in zip(times[8:], times[9:])))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(streams)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    work()
    stop.set()
    for thread in threads:
        thread.join()
    return sorted(round(g, 1) for g in gaps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8180")
    parser.add_argument("--pictures", type=int, default=90)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--streams", type=int, default=4)
    args = parser.parse_args()
    url = urllib.parse.urlparse(args.url)

    def ask(first, question="What do they have in common?"):
        content = [{"type": "image_url", "image_url": {"url": picture(first + i, args.size)}} for i in range(args.pictures)]
        body = {"messages": [{"role": "user", "content": content + [{"type": "text", "text": question}]}], "max_tokens": 4,
                "ignore_eos": True, "temperature": 0, "enable_thinking": False}
        return lambda: stream(url, body)

    stream(url, {"messages": [{"role": "user", "content": "warm up"}], "max_tokens": 8, "ignore_eos": True})
    one = ask(0)
    for name, request in (("new", one), ("again", one), ("again", one), ("another question", ask(0, "Which is the darkest?"))):
        times, usage = request()
        print(f"{args.pictures} pictures, {name}: {usage['prompt_tokens']} tokens, first token after {times[0]:.3f} s, "
              f"{args.pictures / times[0]:.1f} pictures/s", flush=True)
    def text(seed):
        rng = random.Random(seed)
        body = {"prompt": [rng.randrange(100, 2000) for _ in range(usage["prompt_tokens"])], "max_tokens": 4, "ignore_eos": True}
        return lambda: stream(url, body, path="/v1/completions")

    print(f"text, new: {usage['prompt_tokens']} tokens, first token after {text(1)()[0][0]:.3f} s", flush=True)
    if args.streams:
        for name, work in (("alone", lambda: time.sleep(3)), ("beside text", text(2)), ("beside pictures", ask(10_000))):
            print(f"longest gaps of {args.streams} streams, {name}: {longest_gaps(url, args.streams, work)} ms", flush=True)


if __name__ == "__main__":
    main()
