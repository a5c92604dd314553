"""Writes the exam: questions of seeds, number pairs and subjects that training never saw.

usage: make_exam.py OUT.jsonl.gz --fonts FOLDER [--skills] [--limit N]
Each line is one question: {id, category, lang, thinking, answer, content}, content being the parts of
an OpenAI chat message with its pictures as data URLs. --skills: everyday phrasings, boxes, JSON and
tools instead (skills.py), where a line may also have tools. --limit keeps every category's share.
"""

import argparse
import gzip
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo_model"))
import clip_questions  # noqa: E402
import pair_questions  # noqa: E402
import pictures  # noqa: E402
import scene_questions  # noqa: E402
import skills  # noqa: E402
import text_only  # noqa: E402
import text_questions  # noqa: E402
from media import SIZES, image_url, video_url  # noqa: E402

PLAN = [("describe", 250), ("colour", 150), ("shape", 150), ("position", 150), ("count", 200),
        ("exists", 130), ("compare", 200), ("read_1_4", 250), ("read_5_6", 200), ("lines", 60),
        ("pair", 200), ("clip", 200), ("sum", 200), ("unknown", 120), ("chat", 20)]


def until(make, category):
    while True:
        qa = make()
        if qa and qa.category == category:
            return qa


def scene(rng, category, lang):
    makers = {"describe": [scene_questions.describe], "colour": [scene_questions.colour],
              "shape": [scene_questions.shape, scene_questions.what_at], "position": [scene_questions.where],
              "count": [scene_questions.count], "exists": [scene_questions.exists, scene_questions.missing],
              "compare": [scene_questions.side, scene_questions.size]}[category]
    while True:
        things = scene_questions.make_things(rng)
        qa = rng.choice(makers)(rng, things, lang)
        if qa:
            return qa, [image_url(pictures.draw_scene(rng, things, rng.choice(SIZES)))]


def reading(rng, fonts, category, lang):
    if category == "lines":
        lines = [text_questions.make_line(rng) for _ in range(rng.choice([2, 2, 3]))]
    else:
        lines = [text_questions.make_code(rng, rng.randint(1, 4) if category == "read_1_4" else rng.randint(5, 6))]
    image, colour = pictures.draw_lines(rng, fonts, lines, rng.choice(SIZES))
    return until(lambda: text_questions.ask(rng, lines, colour, lang), category), [image_url(image)]


def pair(rng, fonts, lang):
    size = (224, 224)
    if rng.random() < 0.25:
        codes = pair_questions.make_codes(rng)
        images = [pictures.draw_lines(rng, fonts, [code], size, 24)[0] for code in codes]
        return pair_questions.ask_text(rng, codes, lang), [image_url(i) for i in images]
    first, second = pair_questions.make_pair(rng)
    images = [pictures.draw_scene(rng, things, size) for things in (first, second)]
    return pair_questions.ask(rng, first, second, lang), [image_url(i) for i in images]


def clip(rng, lang):
    script, kind, thing, detail = clip_questions.make_clip(rng, 4)
    background = pictures.jitter(rng, rng.choice(pictures.words.BACKGROUNDS), 4)
    tint = {c: pictures.jitter(rng, rgb, 12) for c, (rgb, _) in pictures.words.COLOURS.items()}
    frames = [pictures.draw_scene(rng, things, (168, 168), background, tint, centres)
              for things, centres in script]
    return clip_questions.ask(rng, script[0][0], script[-1][0], kind, thing, detail, lang), [video_url(frames)]


def make(index, category, fonts):
    rng = random.Random(f"exam/{category}/{index}")  # training seeds are integers
    lang = "en" if index % 2 else "zh"
    media = []
    if category in ("read_1_4", "read_5_6", "lines"):
        qa, media = reading(rng, fonts, category, lang)
    elif category == "pair":
        qa, media = pair(rng, fonts, lang)
    elif category == "clip":
        qa, media = clip(rng, lang)
    elif category == "sum":
        qa = text_only.add(rng, lang, True)
    elif category == "unknown":
        qa = text_only.unknown(rng, lang, True)
    elif category == "chat":
        qa = text_only.small_talk(rng, lang)
    else:
        qa, media = scene(rng, category, lang)
    content = media + [{"type": "text", "text": qa.question}]
    return {"id": f"{category}-{index}", "category": category, "lang": lang, "thinking": index % 3 == 2,
            "answer": qa.answer, "content": content}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--fonts", default="/usr/share/fonts/truetype")
    parser.add_argument("--skills", action="store_true")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    fonts = pictures.Fonts(args.fonts)
    plan, make_one = (skills.PLAN, skills.make) if args.skills else (PLAN, make)
    whole = sum(n for _, n in plan)
    count = 0
    with open(args.out, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        for category, n in plan:
            keep = n if args.limit is None else max(1, round(n * args.limit / whole))
            for index in range(keep):
                line = json.dumps(make_one(index, category, fonts), ensure_ascii=False)
                out.write((line + "\n").encode())
                count += 1
    print(f"{count} questions in {args.out}, {os.path.getsize(args.out)} bytes")


if __name__ == "__main__":
    main()
