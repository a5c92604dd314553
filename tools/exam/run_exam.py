"""Asks an OpenAI-compatible server the exam and prints its marks. Needs only Python 3.10.

usage: run_exam.py [EXAM.jsonl.gz] --base-url http://127.0.0.1:8180/v1 [--limit N] [--threads N]
Without a file the 200-question subset beside this script is asked. The server must serve models/demo with
the picture sizes it was trained on (see README.md); questions that zoom need Pillow. Exit status 1: a
question got no answer.
"""

import argparse
import concurrent.futures
import gzip
import json
import os
import sys
import time
import urllib.error
import urllib.request

import marks
import tool_loop

SUBSET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "subset.jsonl.gz")


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("exam", nargs="?", default=SUBSET)
    p.add_argument("--base-url", default="http://127.0.0.1:8180/v1")
    p.add_argument("--model", default="default")
    p.add_argument("--api-key", default=os.environ.get("OPENAI_API_KEY", "none"))
    p.add_argument("--limit", type=int, help="ask about N questions, spread over the whole file")
    p.add_argument("--threads", type=int, default=4, help="requests at a time")
    p.add_argument("--timeout", type=float, default=120, help="seconds per request")
    p.add_argument("--wrong", help="file for the wrong answers, one JSON object a line")
    return p.parse_args()


def post(args, question, messages):
    """-> (the answer's message, completion tokens, error)."""
    body = {
        "model": args.model, "messages": messages, "temperature": 0, "max_tokens": 300,
        "chat_template_kwargs": {"enable_thinking": question["thinking"]},
    }
    if "tools" in question:
        body["tools"] = question["tools"]
    request = urllib.request.Request(
        args.base_url.rstrip("/") + "/chat/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + args.api_key})
    try:
        with urllib.request.urlopen(request, timeout=args.timeout) as response:
            reply = json.load(response)
    except urllib.error.HTTPError as e:
        return {}, 0, f"HTTP {e.code}: {e.read()[:300].decode(errors='replace')}"
    except (OSError, ValueError) as e:
        return {}, 0, str(e)
    return reply["choices"][0]["message"], (reply.get("usage") or {}).get("completion_tokens", 0), None


def after_tool(args, question, messages, message):
    """The answer after the tool's result, or what was wrong with the call as the answer."""
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]
    result, wrong = tool_loop.result_of(question, calls)
    if wrong:
        return {"content": f"({wrong}) {message.get('content') or ''}"}, 0, None
    turn = {"role": "assistant", "content": message.get("content"), "tool_calls": message["tool_calls"]}
    tool = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": result}
    return post(args, question, [*messages, turn, tool])


def ask(args, question):
    """-> (content, reasoning, completion tokens, error)."""
    messages = [{"role": "user", "content": question["content"]}]
    message, tokens, error = post(args, question, messages)
    if "tools" in question and not error:
        message, more, error = after_tool(args, question, messages, message)
        tokens += more
    content, reasoning = message.get("content") or "", message.get("reasoning_content") or ""
    if not reasoning and "</think>" in content:  # a server without a reasoning parser
        reasoning, content = content.split("</think>", 1)
    return content, reasoning, tokens, error


def main():
    args = parse()
    with gzip.open(args.exam, "rt", encoding="utf-8") as f:
        questions = [json.loads(line) for line in f]
    if args.limit and args.limit < len(questions):
        step = len(questions) / args.limit
        questions = [questions[int(i * step)] for i in range(args.limit)]
    started, results, tokens, errors = time.monotonic(), [], 0, []
    with concurrent.futures.ThreadPoolExecutor(args.threads) as pool:
        for question, reply in zip(questions, pool.map(lambda q: ask(args, q), questions)):
            content, reasoning, n, error = reply
            if error:
                errors.append((question["id"], error))
            results.append((question, content, reasoning))
            tokens += n
            if sys.stderr.isatty():
                print(f"\r{len(results)}/{len(questions)}", end="", file=sys.stderr)
    seconds = time.monotonic() - started
    print("\n".join(marks.table(results)))
    print(f"{len(results)} questions in {seconds:.1f} s, {tokens / seconds:.1f} tokens/s generated, "
          f"{args.threads} at a time")
    if args.wrong:
        with open(args.wrong, "w", encoding="utf-8") as f:
            for q, content, reasoning in results:
                if not marks.right(q, content) or not marks.well_formed(q, content, reasoning):
                    f.write(json.dumps({"id": q["id"], "question": q["content"][-1]["text"], "want": q["answer"],
                                        "got": content, "thought": reasoning}, ensure_ascii=False) + "\n")
    for name, error in errors[:10]:
        print(f"no answer to {name}: {error}", file=sys.stderr)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
