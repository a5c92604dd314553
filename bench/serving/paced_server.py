#!/usr/bin/env python3
"""A server of /v1/completions whose times are set, to hold load clients against each other and against what is true: on
a real server two runs differ by more than two clients do.

  paced_server.py [--port 8000]

Request i, counted from 0, gets its first token after 200 to 600 ms and the others 15 to 45 ms apart, all set by i. Ctrl-C
prints the means of what was sent, by the server's clock.
"""
import argparse
import http.server
import json
import statistics
import threading
import time


class Listener(http.server.ThreadingHTTPServer):
    request_queue_size = 4096  # a client beyond the queue would try again only after a second


class PacedServer:
    """pace(i): seconds before the first token of request i and between the others. refuse(i): whether it gets a 429."""

    def __init__(self, pace, refuse=lambda i: False, port=0):
        asked, sent, lock = [], [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(200, {"data": [{"id": "paced"}]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                begin = time.monotonic()
                with lock:
                    index = len(asked)
                    asked.append((begin, body))
                if refuse(index):
                    return self.answer(429, {"error": {"message": "come back later"}})
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                first, gap = pace(index)
                tokens = body["max_tokens"]
                times = []
                for i in range(tokens):
                    time.sleep(max(0.0, begin + first + i * gap - time.monotonic()))
                    self.event(json.dumps({"choices": [{"text": "x ", "finish_reason": "length" if i + 1 == tokens else None}]}))
                    times.append(time.monotonic() - begin)
                sent.append((times[0], (times[-1] - times[0]) / max(1, tokens - 1), times[-1]))
                prompt = body["prompt"]
                usage = {"prompt_tokens": len(prompt.split() if isinstance(prompt, str) else prompt), "completion_tokens": tokens}
                self.event(json.dumps({"choices": [], "usage": usage}))
                self.event("[DONE]")
                self.close_connection = True

            def answer(self, status, value):
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def event(self, data):
                self.wfile.write(f"data: {data}\n\n".encode())

            def log_message(self, *args):
                pass

        self.asked = asked  # (when, body)
        self.sent = sent  # seconds to the first token, between tokens, to the last one
        self.http = Listener(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def start(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    server = PacedServer(lambda i: (0.2 + i * 37 % 400 / 1000, 0.015 + i * 13 % 30 / 1000), port=parser.parse_args().port)
    try:
        server.http.serve_forever()
    except KeyboardInterrupt:
        for name, column in zip(("TTFT", "TPOT", "latency"), zip(*server.sent)):
            print(f"{name}: {1000 * statistics.fmean(column):.2f} ms")
        print(f"requests: {len(server.sent)}")


if __name__ == "__main__":
    main()
