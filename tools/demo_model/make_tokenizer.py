"""Trains the demo model's SentencePiece vocabulary on generated questions and answers.

usage: make_tokenizer.py OUT_FOLDER   (needs the Python packages sentencepiece and protobuf)
"""

import io
import json
import os
import random
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

import clip_questions
import pair_questions
import scene_questions
import text_only
import text_questions
import tokens
import words

PIECES = 2100  # before the markers


def corpus(rng):
    for i in range(60000):
        lang = "en" if i % 2 else "zh"
        kind = i % 10
        if kind < 4:
            qa = scene_questions.ask(rng, scene_questions.make_things(rng), lang)
        elif kind < 6:
            first, second = pair_questions.make_pair(rng)
            qa = pair_questions.ask(rng, first, second, lang)
        elif kind < 7:
            frames, what, t, detail = clip_questions.make_clip(rng, 4)
            qa = clip_questions.ask(rng, frames[0][0], frames[-1][0], what, t, detail, lang)
        elif kind < 8:
            qa = text_questions.ask(rng, [text_questions.make_code(rng, 4)], "red", lang)
            yield qa.question
            yield "依次是A、B。" if lang == "zh" else "The characters are A, B."
            continue
        else:
            qa = text_only.ask(rng, lang)
        yield qa.question
        yield qa.thought
        yield qa.answer
    for _ in range(200):
        yield "User: "
        yield "Assistant: "
        for part in ("Picture 1:", "Video 1:", "You are a helpful assistant."):
            yield part
    for lang in text_only.SUBJECTS:
        for s in text_only.subjects(lang, False):
            yield s


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(random.Random(1)), model_writer=model, model_type="bpe", vocab_size=PIECES,
        character_coverage=1.0, byte_fallback=True, split_digits=True, add_dummy_prefix=False,
        remove_extra_whitespaces=False, normalization_rule_name="identity", allow_whitespace_only_pieces=True,
        user_defined_symbols=[str(d) for d in range(10)], required_chars=words.LETTERS[:26]
        + "abcdefghijklmnopqrstuvwxyz.,:;!?'\"()[]{}<>-_+=*/\\|@#$%^&~`。，？！：；、（）",
        hard_vocab_limit=False, num_threads=2, minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    for marker in tokens.MARKERS:
        proto.pieces.add(piece=marker, score=0.0, type=1)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
        f.write(proto.SerializeToString())
    first = len(proto.pieces)
    added = {t: first + i for i, t in enumerate(tokens.ADDED)}

    def save(name, value):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=1, ensure_ascii=False)
            f.write("\n")
    save("added_tokens.json", added)
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>",
               "sep_token": tokens.END, "cls_token": tokens.BEGIN, "mask_token": "<mask:1>"}
    save("special_tokens_map.json", {**special, "additional_special_tokens": [
        t for t in tokens.ADDED if t not in ("<tool_call>", "</tool_call>")]})
    save("tokenizer_config.json", {
        **special, "additional_special_tokens": None, "add_bos_token": False, "add_eos_token": False,
        "tokenizer_class": "Ernie4_5_VLTokenizer", "model_max_length": 4096})
    print(f"{first} pieces, {first + len(added)} ids")


if __name__ == "__main__":
    main()
