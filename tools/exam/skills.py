"""Questions of the skills that came later: everyday phrasings, boxes and points, JSON, tools.

Seeds are strings, as training never has them; calculations and phrasings are held out from training.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo_model"))
import box_questions  # noqa: E402
import documents  # noqa: E402
import everyday  # noqa: E402
import json_questions  # noqa: E402
import phrasings  # noqa: E402
import pictures  # noqa: E402
import scene_questions  # noqa: E402
import text_only  # noqa: E402
import text_questions  # noqa: E402
import tool_documents  # noqa: E402
import tool_questions  # noqa: E402
from media import SIZES, image_url  # noqa: E402

PLAN = [("everyday_en", 100), ("everyday_zh", 100), ("star_cross", 100), ("box", 200), ("point", 50), ("json", 100),
        ("calculator", 100), ("zoom", 100)]
# As a client might declare them.
CALCULATOR = {"type": "function", "function": {
    "name": "calculator", "description": "Evaluates an arithmetic expression.",
    "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}}}
ZOOM = {"type": "function", "function": {
    "name": "zoom", "description": "Zooms in on a box of the picture: [x1, y1, x2, y2] in thousandths.",
    "parameters": {"type": "object", "properties": {"box": {"type": "array", "items": {"type": "integer"}}},
                   "required": ["box"]}}}


def _until(make, wanted):
    while True:
        qa = make()
        if qa and wanted(qa):
            return qa


def _scene(rng):
    things, size = scene_questions.make_things(rng), rng.choice(SIZES)
    return things, size, image_url(pictures.draw_scene(rng, things, size))


def _text_picture(rng, fonts):
    lines = [text_questions.make_code(rng, rng.randint(1, 4))]
    image, colour = pictures.draw_lines(rng, fonts, lines, rng.choice(SIZES))
    return lines, colour, image_url(image)


def everyday_question(rng, fonts, lang, index):
    """The index-th held-out phrasing."""
    kind, phrasing = [(k, p) for k, kind in phrasings.HELD_OUT[lang].items() for p in kind][index]
    if kind in everyday.TALK:
        answer = everyday.TALK[kind][lang][1]
        return {"answer": answer, "content": [{"type": "text", "text": phrasing}]}
    table = phrasings.TABLES[kind]

    def in_table(qa):
        return getattr(qa.question, "table", None) is table
    media = []
    if kind == "sum":
        qa = text_only.add(rng, lang, True)
    elif kind == "read":
        lines, colour, url = _text_picture(rng, fonts)
        qa, media = _until(lambda: text_questions.ask(rng, lines, colour, lang), in_table), [url]
    else:
        while True:
            things, _, url = _scene(rng)
            asked = [scene_questions.ask(rng, things, lang) for _ in range(40)]
            asked = [qa for qa in asked if in_table(qa)]
            if asked:
                break
        qa, media = asked[0], [url]
    text = phrasing.format(**qa.question.fields)
    return {"answer": qa.answer, "content": media + [{"type": "text", "text": text}]}


def star_or_cross(rng, lang):
    """Of which shape is the one of a colour, among stars and crosses only?"""
    while True:
        things = scene_questions.make_things(rng)
        if len({t.colour for t in things}) == len(things):
            break
    for t in things:
        t.shape = rng.choice(["star", "cross"])
    documents.vary_forms(rng, things)
    qa = _until(lambda: scene_questions.shape(rng, things, lang), lambda qa: True)
    image = pictures.draw_scene(rng, things, rng.choice(SIZES))
    return {"answer": qa.answer, "content": [image_url(image), {"type": "text", "text": str(qa.question)}]}


def box_or_point(rng, lang, category):
    """The answer is the exact box, within whose middle a point must lie."""
    things, size, url = _scene(rng)
    qa = _until(lambda: box_questions.ask(rng, things, size, lang),
                lambda qa: qa.category == category and "[" in qa.answer)
    return {"answer": qa.answer, "content": [url, {"type": "text", "text": qa.question}]}


def json_answer(rng, fonts, lang):
    if rng.random() < 0.2:
        lines, _, url = _text_picture(rng, fonts)
        qa = json_questions.read(rng, lines[0], lang)
    else:
        things, size, url = _scene(rng)
        qa = json_questions.ask(rng, things, size, lang)
    return {"answer": qa.answer, "content": [url, {"type": "text", "text": qa.question}]}


def calculation(rng, lang):
    qa, expression = tool_questions.ask_calculator(rng, lang, exam=True)
    tools = rng.choice([[CALCULATOR], [CALCULATOR, ZOOM], [ZOOM, CALCULATOR]])
    return {"lang": qa.lang, "answer": tool_questions.value_text(expression), "tools": tools,
            "content": [{"type": "text", "text": qa.question}]}


def zoom(rng, fonts, lang):
    """Characters that are small in the whole picture."""
    image, things = tool_documents.labelled_scene(rng, fonts)
    while True:
        qa, t = tool_questions.ask_zoom(rng, things, image.size, lang)
        if t.label:
            break
    image = image.resize((tool_documents.LARGE,) * 2)
    tools = rng.choice([[ZOOM], [CALCULATOR, ZOOM], [ZOOM, CALCULATOR]])
    return {"answer": t.label, "tools": tools, "content": [image_url(image), {"type": "text", "text": qa.question}]}


def make(index, category, fonts):
    rng = random.Random(f"skills/{category}/{index}")
    lang = "en" if index % 2 else "zh"
    if category.startswith("everyday"):
        lang = category[-2:]
        fields = everyday_question(rng, fonts, lang, index)
    elif category == "star_cross":
        fields = star_or_cross(rng, lang)
    elif category in ("box", "point"):
        fields = box_or_point(rng, lang, category)
    elif category == "json":
        fields = json_answer(rng, fonts, lang)
    elif category == "calculator":
        fields = calculation(rng, lang)
    else:
        fields = zoom(rng, fonts, lang)
    return {"id": f"{category}-{index}", "category": category, "lang": lang, "thinking": index % 3 == 2, **fields}
