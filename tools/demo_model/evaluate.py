"""Examines a checkpoint without a server: greedy answers by model.py, or by transformers' own class.

usage: evaluate.py CHECKPOINT EXAM.jsonl.gz [--transformers] [--limit N] [--wrong FILE]
The bf16 weights are computed with in float32, on a GPU if there is one.
"""

import argparse
import base64
import collections
import gzip
import io
import json
import math
import os
import re
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
import tool_loop  # noqa: E402


def content_parts(content, items):
    """Template parts of a message's content; appends the frames of its media to `items`."""
    parts = []
    for part in content:
        if part["type"] == "text":
            parts.append(part["text"])
            continue
        kind = "Video" if part["type"] == "video_url" else "Picture"
        data = part[part["type"]]["url"].split(";base64,")[1].split(",")
        images = [Image.open(io.BytesIO(base64.b64decode(d))).convert("RGB") for d in data]
        items.append([np.asarray(preprocess.resize(i, kind == "Video")) for i in images])
        parts += tokens.media_parts(kind, len(items), math.prod(tokens.grid_of(items[-1])))
    return parts


def question_parts(question, items):
    """The prompt up to the end of the question."""
    tools = tokens.tool_list_parts(question["tools"]) if "tools" in question else []
    return [tokens.BEGIN, *tools, "User: ", *content_parts(question["content"], items)]


def first_prompt(tok, question):
    items = []
    return decode.Prompt(tok, [*question_parts(question, items), *tokens.generation_parts(question["thinking"])], items)


CALL = re.compile(r'<tool_call>\s*\{"name": "(\w+)", "arguments": (\{.*?\})\}\s*</tool_call>', re.DOTALL)


def second_prompt(tok, question, answer):
    """-> (the prompt after the tool's result, None) or (None, what was wrong with the call)."""
    calls = CALL.findall(answer)
    result, wrong = tool_loop.result_of(question, calls)
    if wrong:
        return None, f"({wrong}) {answer}"
    items = []
    parts = [*question_parts(question, items), "\nAssistant: ", *tokens.call_parts(*calls[0]), tokens.END]
    parts += tokens.result_parts(*content_parts(result, items))
    return decode.Prompt(tok, [*parts, *tokens.generation_parts(question["thinking"])], items), None


def split(text):
    """Raw output -> (content, reasoning)."""
    if "</think>" in text:
        reasoning, content = text.split("</think>", 1)
        return content, reasoning
    return text, ""


BATCH = 64  # prompts at a time


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
        for step in range(300):
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


def generate_all(model, tok, prompts):
    """Greedy answers to {key: prompt}, those of equal media together."""
    groups, answers = collections.defaultdict(list), {}
    for key, p in prompts.items():
        groups[p.shape].append(key)
    for members in groups.values():
        members.sort(key=lambda key: len(prompts[key].ids))
        for start in range(0, len(members), BATCH):
            chunk = members[start:start + BATCH]
            answers.update(zip(chunk, decode.generate(model, tok, [prompts[key] for key in chunk])))
    return answers


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
    started = time.time()
    if args.transformers:
        native = Native(args.checkpoint, c, tok, model.vision)

        def generate(prompts):
            return {key: native.generate(p) for key, p in prompts.items()}
    else:
        model.to("cuda" if torch.cuda.is_available() else "cpu")

        def generate(prompts):
            return generate_all(model, tok, prompts)
    answers = generate({i: first_prompt(tok, q) for i, q in enumerate(questions)})
    second = {i: second_prompt(tok, q, split(answers[i])[0]) for i, q in enumerate(questions) if "tools" in q}
    answers |= {i: wrong for i, (_, wrong) in second.items() if wrong}
    answers |= generate({i: prompt for i, (prompt, wrong) in second.items() if prompt})
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
