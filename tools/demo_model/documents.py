"""Media and questions together: one document is a prompt prefix with its media and several
independent continuations ("branches"), each a question with its answer. Branches see the prefix but
not each other, so one picture is encoded once for many questions."""

import dataclasses

import numpy as np

import clip_questions
import pair_questions
import pictures
import scene_questions
import text_only
import text_questions
import tokens

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


def scene(rng, size):
    things = scene_questions.make_things(rng)
    native, _ = native_size(rng, size)
    image = finish(rng, pictures.draw_scene(rng, things, native), size)

    def ask(lang):
        if rng.random() < 0.02:
            return text_only.unknown_with_picture(rng, lang, False)
        return scene_questions.ask(rng, things, lang)
    return Material("Picture", [[image]], ask)


def text(rng, fonts, size, line_count=None, length=None):
    native, scale = native_size(rng, size)
    count = line_count or rng.choices([1, 2, 3, 4], [5, 2, 2, 1])[0]
    lines = [text_questions.make_line(rng) if length is None else text_questions.make_code(rng, length)
             for _ in range(count)]
    image, colour = pictures.draw_lines(rng, fonts, lines, native, max(12, round(20 * scale)),
                                        max(30, round(96 * scale)))
    image = finish(rng, image, size)

    def ask(lang):
        if rng.random() < 0.01:
            return text_only.unknown_with_picture(rng, lang, False)
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
        earlier = ask(lang)
        return [earlier.question, "\nAssistant: ", earlier.answer, tokens.END, "User: ", question]
    return [question]


def build(rng, tok, material, max_branches):
    """Material -> Document with up to max_branches branches."""
    lang = rng.choice(["en", "zh"])
    head = [tokens.BEGIN]
    if rng.random() < 0.1:
        head += [rng.choice(SYSTEMS), "\n"]
    head.append("User: ")
    media_parts, runs, frames = [], [], []
    for n, item in enumerate(material.media):
        te = max(1, len(item) // 2)
        gw, gh = item[0].width // 28, item[0].height // 28
        media_parts += tokens.media_parts(material.kind, n + 1, te * gh * gw)
        runs.append((te, gh, gw))
        frames += [np.asarray(image) for image in item]
    text_first = bool(runs) and rng.random() < 0.15
    branches = []
    if text_first:
        qa = material.ask(lang)
        prefix = tok.encode(*head, qa.question, *media_parts)
        for think in (False, True):
            branches.append(_branch(tok, [], qa, think))
    else:
        prefix = tok.encode(*head, *media_parts)
        seen = set()
        for _ in range(max_branches):
            qa = material.ask(lang if rng.random() < 0.8 else {"en": "zh", "zh": "en"}[lang])
            think = rng.random() < 0.35
            if (qa.question, think) in seen:
                continue
            seen.add((qa.question, think))
            branches.append(_branch(tok, _question_parts(rng, material.ask, qa.lang, qa.question), qa, think))
    starts = [i for i, t in enumerate(prefix) if t == tok.patch and (i == 0 or prefix[i - 1] != tok.patch)]
    return Document(frames, prefix, dict(zip(starts, runs)), branches)


def _branch(tok, question_parts, qa, think):
    prompt = tok.encode(*question_parts, *tokens.generation_parts(think))
    return prompt + tok.encode(*tokens.answer_parts(qa, think)), len(prompt)


def text_document(rng, tok, exam=False):
    lang = rng.choice(["en", "zh"])

    def ask(language):
        return text_only.ask(rng, language, exam)
    return build(rng, tok, Material("", [], ask), 1)
