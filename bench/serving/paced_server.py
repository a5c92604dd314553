#!/usr/bin/env python3
"""A server of /v1/completions whose times are set, to hold load clients against each other and against what is true: on
a real server two runs differ by more than two clients do.

  paced_server.py [--port 8000]

Request i, counted from 0, gets its first token after 200 to 600 ms and the others 15 to 45 ms apart, all set by i. Ctrl-C
prints what was sent, by the server's clock: medians and means in milliseconds.
"""
import argparse
import asyncio
import json
import statistics
import time

sent = []  # (seconds to the first token, between tokens, to the last one)


async def stream(writer, request, index):
    first, gap = 0.2 + index * 37 % 400 / 1000, 0.015 + index * 13 % 30 / 1000
    begin = time.perf_counter()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    tokens = request["max_tokens"]
    times = []

    def event(data):
        text = f"data: {data}\n\n".encode()
        writer.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")

    for i in range(tokens):
        await asyncio.sleep(max(0.0, begin + first + i * gap - time.perf_counter()))
        choice = {"index": 0, "text": "x ", "finish_reason": "length" if i + 1 == tokens else None}
        event(json.dumps({"id": str(index), "object": "text_completion", "model": "paced", "choices": [choice]}))
        times.append(time.perf_counter() - begin)
    prompt = request["prompt"]
    count = len(prompt) if isinstance(prompt, list) and len(prompt) > 1 else len(str(prompt).split())
    event(json.dumps({"id": str(index), "object": "text_completion", "model": "paced", "choices": [],
                      "usage": {"prompt_tokens": count, "completion_tokens": tokens, "total_tokens": count + tokens}}))
    event("[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    sent.append((times[0], (times[-1] - times[0]) / max(1, tokens - 1), times[-1]))


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = {line.split(b":", 1)[0].lower(): line.split(b":", 1)[1] for line in head.split(b"\r\n")[1:] if b":" in line}
            body = await reader.readexactly(int(fields.get(b"content-length", 0)))
            if head.startswith(b"POST /v1/completions"):
                serve.requests += 1
                await stream(writer, json.loads(body), serve.requests - 1)
            else:
                answer = b'{"object": "list", "data": [{"id": "paced", "object": "model"}]}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


serve.requests = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", args.port) as server:
            await server.serve_forever()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        for name, column in zip(("ttft", "tpot", "latency"), zip(*sent)):
            print(f"{name}: median {1000 * statistics.median(column):.2f}, mean {1000 * statistics.fmean(column):.2f}")
        print(f"requests: {len(sent)}")


if __name__ == "__main__":
    main()
