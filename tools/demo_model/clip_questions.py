"""Short clips: what changes over the frames."""

import dataclasses

import words
from qa import QA, pick
from scene_questions import colour_name, make_things
from words import capital, the_thing, thing

ASK = {
    "en": ["What happens in the video?", "What changes?", "What changes in the video?", "Describe the video.",
           "What happens in this clip?", "What do you see happen?", "What is going on in the clip?"],
    "zh": ["视频里发生了什么？", "有什么变化？", "描述这个视频。", "视频中有什么变化？", "这段视频里发生了什么？"],
}
MOVES_EN = {"right": "from left to right", "left": "from right to left",
            "down": "from top to bottom", "up": "from bottom to top"}
MOVES_ZH = {"right": "从左向右移动", "left": "从右向左移动", "down": "从上向下移动", "up": "从下向上移动"}
KINDS = ["move", "move", "move", "colour", "grow", "shrink", "appear", "disappear", "none", "shape"]


def make_clip(rng, frames):
    """-> (list per frame of (things, centres), kind, thing, detail)."""
    kind = rng.choice(KINDS)
    things = make_things(rng, rng.choice([1, 1, 2, 2]))
    i = rng.randrange(len(things))
    t = things[i]
    other = [u.cell for u in things if u is not t]
    detail = None
    path = None
    if kind == "move":
        detail = rng.choice(list(MOVES_EN))
        lanes = [lane for lane in range(3) if not any(
            (c // 3 if detail in ("left", "right") else c % 3) == lane for c in other)]
        lane = (rng.choice(lanes) + 0.5) / 3 + rng.uniform(-0.04, 0.04)
        start, end = rng.uniform(0.14, 0.26), rng.uniform(0.74, 0.86)
        if detail in ("left", "up"):
            start, end = end, start
        path = [(start + (end - start) * f / (frames - 1)) for f in range(frames)]
        path = [(p, lane) if detail in ("left", "right") else (lane, p) for p in path]
    elif kind == "colour":
        detail = rng.choice([c for c in words.COLOURS
                             if c != t.colour and all((u.shape, u.colour) != (t.shape, c) for u in things)])
    elif kind == "shape":
        detail = rng.choice([s for s in words.SHAPES
                             if s != t.shape and all((u.shape, u.colour) != (s, t.colour) for u in things)])
    when = rng.randint(1, frames - 1)  # first frame after a sudden change
    out = []
    for f in range(frames):
        now = [dataclasses.replace(u) for u in things]
        centres = [None] * len(now)
        u = now[i]
        if kind == "move":
            centres[i] = path[f]
        elif kind in ("grow", "shrink"):
            a, b = (0.2, 0.45) if kind == "grow" else (0.45, 0.2)
            u.radius = a + (b - a) * f / (frames - 1)
        elif kind == "colour" and f >= when:
            u.colour = detail
        elif kind == "shape" and f >= when:
            u.shape = detail
        if (kind == "appear" and f < when) or (kind == "disappear" and f >= when):
            del now[i], centres[i]
        out.append((now, centres))
    return out, kind, t, detail


def answer_text(kind, t, detail, lang):
    name = the_thing(t.colour, t.shape, lang)
    if lang == "zh":
        return {
            "move": lambda: f"{name}{MOVES_ZH[detail]}。",
            "colour": lambda: f"{words.SHAPES[t.shape]}从{colour_name(t.colour, lang)}变成"
                              f"{colour_name(detail, lang)}。",
            "shape": lambda: f"{name}变成{words.SHAPES[detail]}。",
            "grow": lambda: f"{name}变大。",
            "shrink": lambda: f"{name}变小。",
            "appear": lambda: f"出现了一个{thing(t.colour, t.shape, lang)}。",
            "disappear": lambda: f"{name}消失了。",
            "none": lambda: "没有变化。",
        }[kind]()
    name = capital(name)
    return {
        "move": lambda: f"{name} moves {MOVES_EN[detail]}.",
        "colour": lambda: f"The {t.shape} changes from {t.colour} to {detail}.",
        "shape": lambda: f"{name} becomes a {detail}.",
        "grow": lambda: f"{name} gets bigger.",
        "shrink": lambda: f"{name} gets smaller.",
        "appear": lambda: f"{capital(thing(t.colour, t.shape, lang))} appears.",
        "disappear": lambda: f"{name} disappears.",
        "none": lambda: "Nothing changes.",
    }[kind]()


def ask(rng, first, last, kind, t, detail, lang):
    """first, last: things of the first and last frame."""
    def names(things):
        if not things:
            return "什么都没有" if lang == "zh" else "nothing"
        return words.join([thing(u.colour, u.shape, lang) for u in things], lang)
    if lang == "zh":
        thought = f"开始时有{names(first)}。最后有{names(last)}。"
    else:
        thought = f"At first there is {names(first)}. At the end there is {names(last)}."
    return QA("clip", lang, pick(rng, ASK, lang), thought, answer_text(kind, t, detail, lang))
