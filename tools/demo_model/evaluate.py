"""Examines a checkpoint without a server: greedy answers by model.py, or by transformers' own class.

usage: evaluate.py CHECKPOINT EXAM.jsonl.gz [--transformers] [--limit N] [--wrong FILE]
The bf16 weights are computed with in float32.
"""

import argparse
import base64
import collections
import gzip
import io
import json
import os
import sys
import time

import numpy as np
import torch
from PIL import Image

import check_export
import decode
import export
import model as models
import preprocess
import tokens

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "exam"))
import marks  # noqa: E402


def frames_of(question):
    """-> (kind, per item a list of arrays, text)."""
    kind, items, text = "Picture", [], ""
    for part in question["content"]:
        if part["type"] == "text":
            text = part["text"]
            continue
        kind = "Video" if part["type"] == "video_url" else "Picture"
        data = part[part["type"]]["url"].split(";base64,")[1].split(",")
        images = [Image.open(io.BytesIO(base64.b64decode(d))).convert("RGB") for d in data]
        items.append([np.asarray(preprocess.resize(i, kind == "Video")) for i in images])
    return kind, items, text


def split(text):
    """Raw output -> (content, reasoning)."""
    if "</think>" in text:
        reasoning, content = text.split("</think>", 1)
        return content, reasoning
    return text, ""


class Native:
    """One prompt at a time by transformers' class."""

    def __init__(self, folder, c, tok, vision):
        self.model, self.tok, self.vision = check_export.native_model(folder, c, tok), tok, vision

    @torch.no_grad()
    def generate(self, prompt):
        per = prompt.per_item
        frames = [prompt.frames[i * per:(i + 1) * per] for i in range(prompt.items)]
        grids = [(per, f[0].shape[0] // 14, f[0].shape[1] // 14) for f in frames]
        args = check_export.native_inputs(self.vision, self.tok, prompt.ids, prompt.pos, frames, grids)
        out, cache = [], None
        for step in range(200):
            result = self.model(**args, past_key_values=cache, use_cache=True)
            cache = result.past_key_values
            token = int(result.logits[0, -1].argmax())
            if token == self.tok.end:
                break
            out.append(token)
            where = torch.full((3, 1, 1), prompt.next + step)
            args = dict(input_ids=torch.tensor([[token]]), position_ids=where,
                        moe_mm_token_type_ids=torch.zeros(1, 1, dtype=torch.int))
        return self.tok.decode(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("exam")
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--limit", type=int, help="every n-th question so that about N are asked")
    parser.add_argument("--wrong", help="file for the wrong answers")
    args = parser.parse_args()
    tok = tokens.Tokens(args.checkpoint)
    c = check_export.config_of(args.checkpoint)
    model = models.Model(c).eval()
    export.load(args.checkpoint, c, model)
    with gzip.open(args.exam, "rt", encoding="utf-8") as f:
        questions = [json.loads(line) for line in f]
    if args.limit:
        questions = questions[::max(1, len(questions) // args.limit)]
    prompts = []
    for q in questions:
        kind, items, text = frames_of(q)
        prompts.append(decode.Prompt(tok, kind, items, text, q["thinking"]))
    started, answers = time.time(), {}
    if args.transformers:
        native = Native(args.checkpoint, c, tok, model.vision)
        for i, p in enumerate(prompts):
            answers[i] = native.generate(p)
    else:
        groups = collections.defaultdict(list)
        for i, p in enumerate(prompts):
            groups[p.shape].append(i)
        for members in groups.values():
            members.sort(key=lambda i: len(prompts[i].ids))
            for start in range(0, len(members), 32):
                chunk = members[start:start + 32]
                for i, a in zip(chunk, decode.generate(model, tok, [prompts[i] for i in chunk])):
                    answers[i] = a
    results = [(q, *split(answers[i])) for i, q in enumerate(questions)]
    print("\n".join(marks.table(results)))
    print(f"{len(results)} questions in {time.time() - started:.0f} s")
    if args.wrong:
        with open(args.wrong, "w", encoding="utf-8") as f:
            for q, content, reasoning in results:
                if not marks.right(q, content) or not marks.well_formed(q, content, reasoning):
                    f.write(json.dumps({"id": q["id"], "question": q["content"][-1]["text"], "want": q["answer"],
                                        "got": content, "thought": reasoning}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
