"""A small tokenizer with the family's settings, trained on text made here.

Like the public ERNIE 4.5 vocabulary it is a SentencePiece BPE model with an identity normaliser, no
dummy prefix, byte fallback and one token per digit; the sentence and mask markers are ordinary
pieces of the model, and the media and thinking markers are added behind it.
"""

import itertools
import json

import sentencepiece

TRAINED_PIECES = 640
IN_MODEL_MARKERS = [
    "<|prefixoftext|>",
    "<|middleoftext|>",
    "<|suffixoftext|>",
    "<|end_of_sentence|>",
    "<|begin_of_sentence|>",
] + [f"<mask:{i}>" for i in range(1, 22)]
ADDED = (
    ["<|IMAGE_PLACEHOLDER|>", "<|AUDIO_PLACEHOLDER|>"]
    + [f"<|LOC_{i}|>" for i in range(8)]
    + ["<|LOC_BEGIN|>", "<|LOC_END|>", "<|LOC_SEP|>"]
    + ["<|CROP_COL_SEP|>", "<|CROP_ROW_SEP|>", "<|IMAGE_SEP|>"]
    + ["<|IMAGE_START|>", "<|IMAGE_END|>", "<|VIDEO_START|>", "<|VIDEO_END|>"]
    + ["<|ASR_START|>", "<|ASR_END|>", "<think>", "</think>", "<tool_call>", "</tool_call>"]
    + ["<response>", "</response>", "<|VIDEO_PLACEHOLDER|>"]
)
ADDED_IDS = {token: TRAINED_PIECES + len(IN_MODEL_MARKERS) + i for i, token in enumerate(ADDED)}
SPECIAL_IDS = {
    "<unk>": 0,
    "<s>": 1,
    "</s>": 2,
    **{token: TRAINED_PIECES + i for i, token in enumerate(IN_MODEL_MARKERS)},
    **ADDED_IDS,
}
VOCAB_SIZE = 736  # embedding rows; the last ones have no token, as in the public checkpoints

_COLOURS = "red blue green yellow black white orange purple".split()
_THINGS = "square circle triangle dog cat house boat tree bird letter".split()
_PLACES = ["on the left", "on the right", "at the top", "near the water", "in the middle"]
_LINES = [
    "What is shown in this picture? Describe it in one short sentence.",
    "How many animals can you see in the video, and what are they doing?",
    "The quick brown fox jumps over the lazy dog while the children watch.",
    "Read the text in the image and write it down exactly as it is printed.",
    "User: Hello, who are you? Assistant: I am a small model made for tests.",
    "Picture 1: a boat under a bridge. Picture 2: the same boat at night.",
    "Video 1: someone opens the door, walks in and turns on the light.",
    "Think about the question first, then give the answer.",
    "It costs 3.50 on Monday, 12 on Tuesday and 1,024 in total.",
    "for (int i = 0; i < n; ++i) { sum += values[i] * weights[i]; }",
    "def area(width, height): return width * height  # both in metres",
    "请描述这张图片。图片里有一只猫和两只狗。",
    "视频中发生了什么？有人打开了门，走了进来。",
    "今天天气很好，我们去公园看花。你想吃什么？",
    "这是一个用来测试的小模型，它不会真的回答问题。",
    "先想一想，再用一句话回答：左边的方块是什么颜色？",
]


def _corpus():
    for colour, thing, place in itertools.product(_COLOURS, _THINGS, _PLACES):
        yield f"There is a {colour} {thing} {place} of the picture."
        yield f"Which {thing} is {colour}? The one {place}."
    for _ in range(20):
        yield from _LINES


def _marker_piece(text):
    """A serialised `pieces` entry of the SentencePiece protobuf: text, score 0.0, type NORMAL."""
    raw = text.encode()
    body = bytes([0x0A, len(raw)]) + raw + bytes([0x15, 0, 0, 0, 0, 0x18, 1])
    return bytes([0x0A, len(body)]) + body


def train_model():
    """Returns the bytes of tokenizer.model."""

    class Writer:
        data = b""

        def write(self, chunk):
            Writer.data += chunk
            return len(chunk)

    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=_corpus(),
        model_writer=Writer(),
        model_type="bpe",
        vocab_size=TRAINED_PIECES,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=[str(i) for i in range(10)],
        num_threads=1,
        minloglevel=2,
    )
    return Writer.data + b"".join(_marker_piece(t) for t in IN_MODEL_MARKERS)


def write_files(folder, chat_template=None):
    """Writes tokenizer.model, added_tokens.json, tokenizer_config.json, special_tokens_map.json."""
    named = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
        "cls_token": "<|begin_of_sentence|>",
        "sep_token": "<|end_of_sentence|>",
        "mask_token": "<mask:1>",
    }
    more = [t for t in IN_MODEL_MARKERS + ADDED if t not in named.values()]
    config = {
        "tokenizer_class": "Ernie4_5_VLTokenizer",
        "model_max_length": 131072,
        "add_bos_token": False,
        "add_eos_token": False,
        **named,
        "additional_special_tokens": more,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    files = {
        "tokenizer_config.json": config,
        "special_tokens_map.json": {**named, "additional_special_tokens": more},
        "added_tokens.json": ADDED_IDS,
    }
    (folder / "tokenizer.model").write_bytes(train_model())
    for name, content in files.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
