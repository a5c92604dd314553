"""Tokenizer and chat template of the demo checkpoint (ERNIE-4.5-VL's rules)."""

import json
import os

import sentencepiece

PLACEHOLDER = "<|IMAGE_PLACEHOLDER|>"
BEGIN, END = "<|begin_of_sentence|>", "<|end_of_sentence|>"
THINK_ON, THINK_OFF = "<think>", "<think>\n\n</think>\n\n"
# Ordinary pieces at the end of the SentencePiece model, as in the family.
MARKERS = (["<|prefixoftext|>", "<|middleoftext|>", "<|suffixoftext|>", END, BEGIN]
           + [f"<mask:{i}>" for i in range(1, 22)])
# Tokens beyond the SentencePiece model, in order of their ids.
ADDED = [PLACEHOLDER, "<|AUDIO_PLACEHOLDER|>", "<|LOC_BEGIN|>", "<|LOC_END|>", "<|LOC_SEP|>",
         "<|CROP_COL_SEP|>", "<|CROP_ROW_SEP|>", "<|IMAGE_SEP|>", "<|IMAGE_START|>", "<|IMAGE_END|>",
         "<|VIDEO_START|>", "<|VIDEO_END|>", "<|ASR_START|>", "<|ASR_END|>", "<think>", "</think>",
         "<tool_call>", "</tool_call>", "<tool_output>", "</tool_output>", "<response>", "</response>",
         "<|VIDEO_PLACEHOLDER|>"]


class Tokens:
    def __init__(self, folder):
        self.sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
        with open(os.path.join(folder, "added_tokens.json"), encoding="utf-8") as f:
            added = json.load(f)
        self.ids = {**{m: self.sp.piece_to_id(m) for m in MARKERS}, **added}
        self.text_of = {i: t for t, i in self.ids.items()}
        self.size = max(self.ids.values()) + 1
        self.patch = self.ids[PLACEHOLDER]
        self.end = self.ids[END]
        self.vision = {self.ids[t] for t in (PLACEHOLDER, "<|IMAGE_START|>", "<|IMAGE_END|>",
                                             "<|VIDEO_START|>", "<|VIDEO_END|>")}

    def encode(self, *parts):
        """Parts that are special tokens become their id; runs of other parts are joined and encoded."""
        out, text = [], ""
        for part in parts:
            if part in self.ids:
                out += self.sp.encode(text) if text else []
                out.append(self.ids[part])
                text = ""
            else:
                text += part
        return out + (self.sp.encode(text) if text else [])

    def decode(self, ids):
        out, run = "", []
        for i in ids:
            if i in self.text_of:
                out += (self.sp.decode(run) if run else "") + self.text_of[i]
                run = []
            else:
                run.append(i)
        return out + (self.sp.decode(run) if run else "")


def grid_of(frames):
    """Grid (te, gh, gw) of visual tokens of an item's frames [H, W, 3]."""
    return max(1, len(frames) // 2), frames[0].shape[0] // 28, frames[0].shape[1] // 28


def media_parts(kind, number, count):
    """Template parts of one picture ("Picture") or clip ("Video") of `count` visual tokens."""
    name = "IMAGE" if kind == "Picture" else "VIDEO"
    return [f"{kind} {number}:", f"<|{name}_START|>"] + [PLACEHOLDER] * count + [f"<|{name}_END|>"]


def tool_list_parts(tools):
    """How the server's built-in template shows tools (src/text/builtin_template.cpp)."""
    listed = json.dumps(tools, ensure_ascii=False, separators=(",", ":"))
    return [f"<tool_list>\n{listed}\n</tool_list>\nTo call a function, answer with\n", "<tool_call>",
            '\n{"name": <its name>, "arguments": <an object>}\n', "</tool_call>", "\n"]


def call_parts(name, arguments):
    """A tool call as the family writes it; arguments is the text of an object."""
    return ["<tool_call>", f'\n{{"name": "{name}", "arguments": {arguments}}}\n', "</tool_call>"]


def result_parts(*parts):
    """The message with a tool's result."""
    return ["User: ", "<tool_output>", "\n", *parts, "\n", "</tool_output>"]


def generation_parts(think):
    return ["\nAssistant: ", "<think>"] if think else ["\nAssistant: ", "<think>", "\n\n", "</think>", "\n\n"]


def answer_parts(qa, think):
    """What the model must produce after generation_parts. An answer is text, or the parts of a tool call."""
    answer = [qa.answer] if isinstance(qa.answer, str) else qa.answer
    if think:
        return ["\n" + qa.thought + "\n", "</think>", "\n\n", *answer, END]
    return [*answer, END]


def positions(ids, vision_runs):
    """3-D positions (t, h, w) of ids. vision_runs: {index of first placeholder: (te, gh, gw)}.

    -> list of (t, h, w) and the next free position. A vision run advances by max(te, gh, gw).
    """
    out, cur, i = [], 0, 0
    while i < len(ids):
        if i in vision_runs:
            te, gh, gw = vision_runs[i]
            out += [(cur + t, cur + h, cur + w) for t in range(te) for h in range(gh) for w in range(gw)]
            cur += max(te, gh, gw)
            i += te * gh * gw
        else:
            out.append((cur, cur, cur))
            cur += 1
            i += 1
    return out, cur
