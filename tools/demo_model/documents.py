"""Media and questions together: one document is a prompt prefix with its media and several
independent continuations ("branches"), each a question with its answer. Branches see the prefix but
not each other, so one picture is encoded once for many questions."""

import dataclasses
import math

import numpy as np

import box_questions
import clip_questions
import everyday
import json_questions
import pair_questions
import pictures
import scene_questions
import text_only
import text_questions
import tokens

OTHER = {"en": "zh", "zh": "en"}
SYSTEMS = ["You are a helpful assistant.", "Answer briefly.", "You are ERNIE, a helpful assistant.",
           "你是一个有用的助手。", "请简短回答。"]


@dataclasses.dataclass
class Material:
    """Media of a document and a way to ask about it."""
    kind: str  # "Picture", "Video" or "" (no media)
    media: list  # per item a list of frames (PIL images of the model's size)
    ask: object  # ask(lang) -> QA


@dataclasses.dataclass
class Document:
    frames: list  # uint8 arrays [H, W, 3], all media in order
    prefix: list  # token ids
    runs: dict  # index of a media item's first placeholder in prefix -> (te, gh, gw)
    branches: list  # (token ids, index of the first trained token)


def native_size(rng, size):
    """Half the pictures are drawn at another size than the model sees."""
    if rng.random() < 0.55:
        return size, 1.0
    scale = rng.uniform(0.65, 1.7)
    return (max(40, round(size[0] * scale * rng.uniform(0.95, 1.05))),
            max(40, round(size[1] * scale * rng.uniform(0.95, 1.05)))), scale


def finish(rng, image, size):
    if rng.random() < 0.15:
        image = pictures.as_jpeg(image, rng.randint(70, 95))
    return image if image.size == size else image.resize(size, pictures.Image.Resampling.BICUBIC)


def stars_and_crosses(rng, things):
    """Makes all things stars and crosses, which are told apart least well."""
    taken = set()
    for t in things:
        t.shape = rng.choice([s for s in ("star", "cross") if (s, t.colour) not in taken] or [t.shape])
        taken.add((t.shape, t.colour))


def vary_forms(rng, things):
    """Stars and crosses thick and thin, a little turned; one cross in five stands on two feet, as an X."""
    for t in things:
        t.form = rng.uniform(-1, 1)
        if t.shape == "star":
            t.turn = rng.uniform(-0.3, 0.3)
        elif t.shape == "cross":
            t.turn = rng.uniform(-0.1, 0.1) + (math.pi / 4 if rng.random() < 0.2 else 0)


def make_things(rng):
    things = scene_questions.make_things(rng)
    if rng.random() < 0.12 and len({t.colour for t in things}) == len(things):
        stars_and_crosses(rng, things)
    if rng.random() < 0.6:
        vary_forms(rng, things)
    return things


def ask_about_scene(rng, things, size, lang):
    """size: of the picture as it was drawn."""
    draw = rng.random()
    if draw < 0.32:
        return box_questions.ask(rng, things, size, lang)
    if draw < 0.43:
        return json_questions.ask(rng, things, size, lang)
    if draw < 0.47:
        return rng.choice([everyday.talk, everyday.small_sum, _sum, _unknown_with_picture])(rng, lang)
    return scene_questions.ask(rng, things, lang)


def ask_about_picture(rng, things, size, lang):
    """As ask_about_scene, but never a sum, which is the calculator's where one is offered."""
    while True:
        qa = ask_about_scene(rng, things, size, lang)
        if qa.category not in ("sum", "unknown"):
            return qa


def _sum(rng, lang):
    return text_only.add(rng, lang, False)


def _unknown_with_picture(rng, lang):
    return text_only.unknown_with_picture(rng, lang, False)


def scene(rng, size):
    things = make_things(rng)
    native, _ = native_size(rng, size)
    image = finish(rng, pictures.draw_scene(rng, things, native), size)
    return Material("Picture", [[image]], lambda lang: ask_about_scene(rng, things, native, lang))


def text(rng, fonts, size, line_count=None, length=None):
    native, scale = native_size(rng, size)
    count = line_count or rng.choices([1, 2, 3, 4], [5, 2, 2, 1])[0]
    lines = [text_questions.make_line(rng) if length is None else text_questions.make_code(rng, length)
             for _ in range(count)]
    image, colour = pictures.draw_lines(rng, fonts, lines, native, max(12, round(20 * scale)),
                                        max(30, round(96 * scale)))
    image = finish(rng, image, size)

    def ask(lang):
        draw = rng.random()
        if draw < 0.02:
            return _unknown_with_picture(rng, lang)
        if draw < 0.08 and count == 1:
            return json_questions.read(rng, lines[0], lang)
        return text_questions.ask(rng, lines, colour, lang)
    return Material("Picture", [[image]], ask)


def pair(rng, fonts, size):
    if rng.random() < 0.25:
        codes = pair_questions.make_codes(rng)
        images = []
        for code in codes:
            native, scale = native_size(rng, size)
            image, _ = pictures.draw_lines(rng, fonts, [code], native, max(12, round(24 * scale)),
                                           max(30, round(96 * scale)))
            images.append([finish(rng, image, size)])
        return Material("Picture", images, lambda lang: pair_questions.ask_text(rng, codes, lang))
    first, second = pair_questions.make_pair(rng)
    images = []
    for things in (first, second):
        native, _ = native_size(rng, size)
        images.append([finish(rng, pictures.draw_scene(rng, things, native), size)])
    return Material("Picture", images, lambda lang: pair_questions.ask(rng, first, second, lang))


def clip(rng, fonts, size, frames):
    script, kind, thing, detail = clip_questions.make_clip(rng, frames)
    background = pictures.jitter(rng, rng.choice(pictures.words.BACKGROUNDS), 4)
    tint = {c: pictures.jitter(rng, rgb, 12) for c, (rgb, _) in pictures.words.COLOURS.items()}
    native, _ = native_size(rng, size)
    stamped = rng.random() < 0.4
    quality = rng.randint(80, 95) if rng.random() < 0.5 else None
    images = []
    for f, (things, centres) in enumerate(script):
        image = pictures.draw_scene(rng, things, native, background, tint, centres)
        if quality:
            image = pictures.as_jpeg(image, quality)
        if stamped:
            pictures.stamp_time(fonts, image, f / 2)
        images.append(image if image.size == size else image.resize(size, pictures.Image.Resampling.BICUBIC))
    return Material("Video", [images], lambda lang: clip_questions.ask(
        rng, script[0][0], script[-1][0], kind, thing, detail, lang))


def _question_parts(rng, ask, lang, question):
    """A question, sometimes after an earlier turn of the same conversation."""
    if rng.random() < 0.08:
        earlier = everyday.vary(rng, ask(lang))
        return [earlier.question, "\nAssistant: ", earlier.answer, tokens.END, "User: ", question]
    return [question]


def head_parts(rng, tools=None):
    """What stands before the first question."""
    system = [rng.choice(SYSTEMS), "\n"] if rng.random() < 0.1 else []
    return [tokens.BEGIN, *system, *(tokens.tool_list_parts(tools) if tools else []), "User: "]


def media_of(material):
    """-> (template parts, grid runs, frames) of all media of a document."""
    parts, runs, frames = [], [], []
    for n, item in enumerate(material.media):
        te = max(1, len(item) // 2)
        gw, gh = item[0].width // 28, item[0].height // 28
        parts.append(tokens.media_parts(material.kind, n + 1, te * gh * gw))
        runs.append((te, gh, gw))
        frames += [np.asarray(image) for image in item]
    return parts, runs, frames


def document(tok, frames, prefix, runs, branches):
    starts = [i for i, t in enumerate(prefix) if t == tok.patch and (i == 0 or prefix[i - 1] != tok.patch)]
    return Document(frames, prefix, dict(zip(starts, runs)), branches)


def build(rng, tok, material, max_branches):
    """Material -> Document with up to max_branches branches."""
    lang = rng.choice(["en", "zh"])
    head = head_parts(rng)
    media_parts, runs, frames = media_of(material)
    media_parts = sum(media_parts, [])
    text_first = bool(runs) and rng.random() < 0.15
    branches = []
    if text_first:
        qa = everyday.vary(rng, material.ask(lang))
        prefix = tok.encode(*head, qa.question, *media_parts)
        for think in (False, True):
            branches.append(branch(tok, [], qa, think))
    else:
        prefix = tok.encode(*head, *media_parts)
        seen = set()
        for _ in range(max_branches):
            qa = everyday.vary(rng, material.ask(lang if rng.random() < 0.8 else OTHER[lang]))
            think = rng.random() < 0.35
            if (qa.question, think) in seen:
                continue
            seen.add((qa.question, think))
            branches.append(branch(tok, _question_parts(rng, material.ask, qa.lang, qa.question), qa, think))
    return document(tok, frames, prefix, runs, branches)


def branch(tok, question_parts, qa, think):
    prompt = tok.encode(*question_parts, *tokens.generation_parts(think))
    return prompt + tok.encode(*tokens.answer_parts(qa, think)), len(prompt)


def text_document(rng, tok):
    return build(rng, tok, Material("", [], lambda lang: everyday.text_question(rng, lang)), 1)
