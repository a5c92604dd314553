#!/usr/bin/env python3
"""Makes tests/golden/text/typed.jsonl: texts with markers typed into them, whole and cut, and the token ids that transformers'
tokenizer of the checkpoint tests/golden/model/tiny-a gives them without a template.

    pip install "transformers==5.24.*" sentencepiece protobuf tiktoken
    python3 tools/golden/typed_golden.py
"""
import json
import pathlib
import random

from transformers import AutoTokenizer

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests/golden"
WORDS = ["a", "User: ", "What is ", "  ", "\n", " ", "你好", "12", "|>", "é", " \n\n", "x y z", "<|image@placeholder|>"]


def main():
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "model/tiny-a")
    markers = [token.content for token in tokenizer.added_tokens_decoder.values()]
    rng = random.Random(7)

    def part():
        marker = rng.choice(markers)
        kind = rng.random()
        return marker if kind < 0.4 else marker[:rng.randint(1, len(marker) - 1)] if kind < 0.5 else rng.choice(WORDS)

    texts = ["".join(part() for _ in range(rng.randint(1, 9))) for _ in range(300)]
    with open(GOLDEN / "text/typed.jsonl", "w", encoding="utf-8") as out:
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False)
            out.write(json.dumps({"text": text, "ids": ids}, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
