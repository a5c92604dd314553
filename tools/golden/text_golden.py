#!/usr/bin/env python3
"""Makes tests/golden/text/tokenizer: a small tokenizer with the settings of the ERNIE-4.5 family,
and token ids from SentencePiece's own Python package for lines of text.

    pip install "sentencepiece==0.2.*" protobuf
    python3 tools/golden/text_golden.py

All text is generated here from a fixed seed.
"""
import json
import pathlib
import random
import re
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/text/tokenizer"
PIECES = 3000  # before the markers

IN_MODEL_MARKERS = [
    "<|prefixoftext|>", "<|middleoftext|>", "<|suffixoftext|>",
    "<|end_of_sentence|>", "<|begin_of_sentence|>",
] + [f"<mask:{i}>" for i in range(1, 22)]
ADDED = (
    ["<|IMAGE_PLACEHOLDER|>", "<|AUDIO_PLACEHOLDER|>"]
    + [f"<|LOC_{i}|>" for i in range(12)]
    + ["<|IMAGE_START|>", "<|IMAGE_END|>", "<|VIDEO_START|>", "<|VIDEO_END|>", "<think>", "</think>"]
)
PHRASES = [
    "User: ", "Assistant: ", "Picture 1:", "Video 2:", "What kind of dog is this?",
    "the quick brown fox jumps over the lazy dog", "How many people are in the picture?",
    "def main(argv):\n    return 0\n", "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n}\n",
    "图片里有什么？", "你好，世界。", "这是一只狗。", "視頻中的人在做什麼", "これは何ですか", "안녕하세요",
    "Привет, мир", "Où est la gare ?", "¿Qué hora es?", "مرحبا", "naïve café", "x² + y² = z²",
    "http://127.0.0.1:8180/v1/chat/completions", '{"role": "user", "content": null}', "| a | b |\n|---|---|\n",
]
RARE = ["🐕", "👨‍👩‍👧", "e\u0301\u0302", "\u200b", "𝔘", "\u00a0", "\ufb01", "\U0010fffd", "ᚠ", "\ufffd", "\t", "\n", "\r\n", "\n\n\n"]


def words(rng):
    onsets, vowels = "b br c ch d f fl g h j k l m n p pl qu r s sh st t th tr v w z".split(), "a e i o u ee ea ou ai".split()
    codas = " n r s t l m nd st ck ng ing ed er tion".split(" ")
    made = set()
    while len(made) < 4000:
        made.add("".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(1, 3))) + rng.choice(codas))
    return sorted(made)


def sentence(rng, vocabulary):
    parts = []
    for _ in range(rng.randint(1, 14)):
        kind = rng.random()
        if kind < 0.72:
            parts.append(vocabulary[min(int(rng.paretovariate(0.6)) - 1, len(vocabulary) - 1)])
        elif kind < 0.84:
            parts.append(rng.choice(PHRASES))
        elif kind < 0.92:
            parts.append(str(rng.randint(0, 10 ** rng.randint(1, 9))))
        else:
            parts.append(rng.choice(["\n", "  ", "    ", "\t", "==", "--", "...", "(", ")", "<", "|>", "aaaa", "    \n"]))
    text = " ".join(parts)
    return text[:1].upper() + text[1:] if rng.random() < 0.5 else text


def train(rng):
    vocabulary = words(rng)
    with tempfile.TemporaryDirectory() as folder:
        corpus = pathlib.Path(folder) / "corpus.txt"
        # SentencePiece reads one sentence a line.
        lines = [line for _ in range(20000) for line in sentence(rng, vocabulary).split("\n") if line]
        lines += [" " * n + "x" for n in range(1, 17)] * 40 + ["a" * n for n in range(1, 17)] * 40
        corpus.write_text("\n".join(lines))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(pathlib.Path(folder) / "m"), model_type="bpe",
            vocab_size=PIECES, normalization_rule_name="identity", add_dummy_prefix=False,
            remove_extra_whitespaces=False, byte_fallback=True, split_digits=True,
            allow_whitespace_only_pieces=True, user_defined_symbols=list("0123456789"),
            character_coverage=0.9995, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
            num_threads=1, minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((pathlib.Path(folder) / "m.model").read_bytes())
    for marker in IN_MODEL_MARKERS:  # ordinary pieces with score 0, as in the released checkpoints
        model.pieces.add(piece=marker, score=0.0, type=sentencepiece_model_pb2.ModelProto.SentencePiece.NORMAL)
    model.trainer_spec.ClearField("input")
    model.trainer_spec.ClearField("model_prefix")
    model.trainer_spec.vocab_size = len(model.pieces)
    return model.SerializeToString(), vocabulary


def main():
    rng = random.Random(45)
    OUT.mkdir(parents=True, exist_ok=True)
    serialized, vocabulary = train(rng)
    (OUT / "tokenizer.model").write_bytes(serialized)
    model = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    first = model.get_piece_size()
    added = {token: first + i for i, token in enumerate(ADDED)}
    half = len(ADDED) // 2  # the two files share the tokens between them

    def write(name, value):
        (OUT / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    write("added_tokens.json", {t: i for t, i in list(added.items())[:half]})
    write("tokenizer_config.json", {
        "additional_special_tokens": None,
        "added_tokens_decoder": {str(i): {"content": t, "special": not t.endswith("think>")}
                                 for t, i in list(added.items())[half:]},
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": {"content": "<unk>"},
        "cls_token": "<|begin_of_sentence|>", "sep_token": "<|end_of_sentence|>",
    })
    write("special_tokens_map.json", {
        "cls_token": {"content": "<|begin_of_sentence|>"},
        "additional_special_tokens": ["<|IMAGE_START|>", "<|never_given_an_id|>"],
    })

    specials = {t: model.piece_to_id(t) for t in IN_MODEL_MARKERS + ["<s>", "</s>", "<unk>"]} | added
    splitter = re.compile("(" + "|".join(re.escape(t) for t in sorted(specials, key=len, reverse=True)) + ")")

    def reference(text):
        ids = []
        for part in splitter.split(text):
            ids += [specials[part]] if part in specials else model.encode(part)
        return ids

    def line():
        parts = [sentence(rng, vocabulary)[:60]]
        for _ in range(rng.randint(0, 3)):
            kind = rng.random()
            if kind < 0.5:
                parts.append(rng.choice(list(specials)))
            elif kind < 0.6:  # a marker with its end missing
                marker = rng.choice(list(specials))
                parts.append(marker[: rng.randint(1, len(marker) - 1)])
            elif kind < 0.8:
                parts.append(rng.choice(RARE))
            else:
                parts.append(rng.choice(vocabulary) + " " * rng.randint(0, 40))
        rng.shuffle(parts)
        return "".join(parts)

    with open(OUT / "encode.jsonl", "w") as out:
        for _ in range(1000):
            text = line()
            ids = reference(text)
            plain = model.encode(text)
            out.write(json.dumps({"text": text, "ids": ids} | ({"plain": plain} if plain != ids else {}),
                                 ensure_ascii=False, separators=(",", ":")) + "\n")
    with open(OUT / "decode.jsonl", "w") as out:  # byte pieces in any order
        for _ in range(200):
            ids = [rng.choice([rng.randint(13, 268), 13 + rng.choice("é€🐕".encode()), rng.randint(300, first - 30)])
                   for _ in range(rng.randint(1, 12))]
            out.write(json.dumps({"ids": ids, "text": model.decode(ids)}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
