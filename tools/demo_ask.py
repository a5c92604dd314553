#!/usr/bin/env python3
"""demo_ask.py BASE_URL PICTURE_DIR: asks the questions of PICTURE_DIR/questions.json with curl.

Prints each streamed answer as it comes, the time to its first token and its tokens per second.
"""
import base64
import json
import pathlib
import subprocess
import sys
import time


def request_body(picture: pathlib.Path, question: str) -> bytes:
    kind, media_type = ("video_url", "video/mp4") if picture.suffix == ".mp4" else ("image_url", "image/png")
    url = f"data:{media_type};base64," + base64.b64encode(picture.read_bytes()).decode()
    return json.dumps({
        "messages": [{"role": "user", "content": [{"type": kind, kind: {"url": url}},
                                                  {"type": "text", "text": question}]}],
        "stream": True, "stream_options": {"include_usage": True}, "temperature": 0, "max_tokens": 96,
        "enable_thinking": False,
    }).encode()


def ask(base_url: str, picture: pathlib.Path, question: str) -> bool:
    """Prints one answer; False if the server sent an error."""
    command = ["curl", "-sN", base_url + "/v1/chat/completions", "-H", "Content-Type: application/json", "-d", "@-"]
    print(f"\n[{picture.name}] {question}")
    started = time.monotonic()
    curl = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    curl.stdin.write(request_body(picture, question))
    curl.stdin.close()
    first = last = None
    tokens = 0
    rest = b""
    for line in curl.stdout:
        if not line.startswith(b"data: "):
            rest += line
            continue
        if line.startswith(b"data: [DONE]"):
            break
        event = json.loads(line[len(b"data: "):])
        if "error" in event:
            rest += line
            break
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
        for choice in event["choices"]:
            text = choice["delta"].get("content")
            if text:
                last = time.monotonic()
                first = first or last
                print(text, end="", flush=True)
    curl.wait()
    if first is None:
        print(f"no answer: {rest.decode(errors='replace')}")
        return False
    print(f"\n  {tokens} tokens in {last - started:.2f} s, the first after {first - started:.2f} s")
    return True


def main() -> int:
    base_url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    ok = [ask(base_url, folder / q["picture"], q["question"]) for q in questions]
    return 0 if all(ok) else 1


if __name__ == "__main__":
    sys.exit(main())
