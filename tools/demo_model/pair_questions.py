"""Questions about two pictures."""

import dataclasses

import scene_questions
import text_questions
import words
from qa import QA, pick
from scene_questions import colour_name, count_answer, description, make_things, shape_name
from words import place, the_thing, thing

SAME = {
    "en": ["Are the two pictures the same?", "Do both pictures show the same?", "Are these two images identical?",
           "Is picture 2 the same as picture 1?"],
    "zh": ["两张图片一样吗？", "这两张图相同吗？", "图1和图2一样吗？"],
}
DIFFERENCE = {
    "en": ["What is different?", "What is the difference between the two pictures?",
           "Compare the two pictures.", "What changed from picture 1 to picture 2?"],
    "zh": ["有什么不同？", "两张图片有什么区别？", "比较这两张图片。", "图2和图1相比有什么变化？"],
}
WHICH = {
    "en": ["Which picture shows {thing}?", "In which picture is {thing}?", "Which picture has {thing}?"],
    "zh": ["哪张图里有{thing}？", "{thing}在哪张图里？"],
}
MORE = {
    "en": ["Which picture has more shapes?", "In which picture are more shapes?"],
    "zh": ["哪张图的图形更多？", "哪张图里的形状多？"],
}
TOTAL = {
    "en": ["How many shapes are in picture {n}?", "Count the shapes in picture {n}."],
    "zh": ["图{n}里有几个图形？", "第{n}张图有多少个形状？"],
}
DESCRIBE = {
    "en": ["Describe picture {n}.", "What is in picture {n}?", "What does picture {n} show?"],
    "zh": ["描述图{n}。", "图{n}里有什么？", "第{n}张图里有什么？"],
}
READ = {
    "en": ["Read the text in picture {n}.", "What does picture {n} say?"],
    "zh": ["读出图{n}中的文字。", "图{n}写了什么？"],
}
SAME_TEXT = {
    "en": ["Do both pictures say the same?", "Is the text the same in both pictures?"],
    "zh": ["两张图的文字一样吗？", "两张图写的一样吗？"],
}


def picture(n, lang):
    return f"图{n}" if lang == "zh" else f"picture {n}"


def make_pair(rng):
    """Two lists of things and what differs: None (same), a change, or "other" (unrelated)."""
    first = make_things(rng, rng.choice([1, 2, 2, 3]))
    if rng.random() < 0.2:
        return first, [dataclasses.replace(t) for t in first], None
    if rng.random() < 0.35:
        second = make_things(rng, rng.choice([1, 2, 2, 3]))
        return first, second, "other" if {t.key() for t in first} != {t.key() for t in second} else None
    second = [dataclasses.replace(t) for t in first]
    kind = rng.choice(["colour", "shape", "place", "gone", "new"])
    if kind == "gone" and len(first) == 1:
        kind = "new"
    taken = {(t.shape, t.colour) for t in first}
    free = [c for c in range(9) if all(t.cell != c for t in first)]
    i = rng.randrange(len(first))
    t = second[i]
    if kind == "colour":
        t.colour = rng.choice([c for c in words.COLOURS if (t.shape, c) not in taken])
    elif kind == "shape":
        t.shape = rng.choice([s for s in words.SHAPES if (s, t.colour) not in taken])
    elif kind == "place":
        t.cell = rng.choice(free)
    elif kind == "gone":
        del second[i]
    else:
        while True:
            new = make_things(rng, 1)[0]
            if (new.shape, new.colour) not in taken:
                break
        new.cell = rng.choice(free)
        second.append(new)
        t = new
    return first, sorted(second, key=lambda u: u.cell), (kind, first[i], t)


def sight(first, second, lang):
    if lang == "zh":
        return f"图1：{description(first, lang)}图2：{description(second, lang)}"
    return f"Picture 1: {description(first, lang)} Picture 2: {description(second, lang)}"


def change_text(change, lang):
    kind, old, new = change
    name = the_thing(old.colour, old.shape, lang)
    if lang == "zh":
        return {
            "colour": f"{words.SHAPES[old.shape]}在图1中是{colour_name(old.colour, lang)}，"
                      f"在图2中是{colour_name(new.colour, lang)}。",
            "shape": f"{name}变成了{words.SHAPES[new.shape]}。",
            "place": f"{name}从{place(old.cell, lang)}移到了{place(new.cell, lang)}。",
            "gone": f"图2中没有{name}。",
            "new": f"图2中多了一个{thing(new.colour, new.shape, lang)}。",
        }[kind]
    return {
        "colour": f"The {old.shape} is {old.colour} in picture 1 and {new.colour} in picture 2.",
        "shape": f"The {old.colour} {old.shape} became a {new.shape}.",
        "place": f"The {old.colour} {old.shape} moved from {_bare(old.cell)} to {_bare(new.cell)}.",
        "gone": f"Picture 2 has no {old.colour} {old.shape}.",
        "new": f"Picture 2 also has {thing(new.colour, new.shape, lang)}.",
    }[kind]


def _bare(cell):
    return words.PLACES_EN[cell].split(" ", 1)[1]


def ask(rng, first, second, change, lang):
    scenes = [first, second]
    thought = sight(first, second, lang)
    kinds = ["same", "which", "more", "total", "describe"] + ["difference"] * 3
    kind = rng.choice(kinds)
    if kind == "difference":
        question = pick(rng, DIFFERENCE, lang)
        if change is None:
            answer = "没有不同。" if lang == "zh" else "Nothing is different."
        elif change == "other":
            answer = sight(first, second, lang)
        else:
            answer = change_text(change, lang)
    elif kind == "same":
        question = pick(rng, SAME, lang)
        answer = {"zh": "一样。" if change is None else "不一样。",
                  "en": "Yes." if change is None else "No."}[lang]
    elif kind == "which":
        a, b = ({(t.shape, t.colour) for t in s} for s in scenes)
        s, c = rng.choice(sorted(a | b))
        n = 0 if (s, c) in a and (s, c) in b else (1 if (s, c) in a else 2)
        question = pick(rng, WHICH, lang, thing=thing(c, s, lang))
        answer = _which(n, lang)
    elif kind == "more":
        question = pick(rng, MORE, lang)
        n = 0 if len(first) == len(second) else (1 if len(first) > len(second) else 2)
        answer = _which(n, lang) if n else ("一样多。" if lang == "zh" else "Both have the same number.")
    elif kind == "total":
        n = rng.choice([1, 2])
        question = pick(rng, TOTAL, lang, n=n)
        answer = count_answer(len(scenes[n - 1]), lang)
    else:
        n = rng.choice([1, 2])
        question = pick(rng, DESCRIBE, lang, n=n)
        answer = description(scenes[n - 1], lang)
    return QA("pair", lang, question, thought, answer)


def _which(n, lang):
    if n == 0:
        return "两张图都有。" if lang == "zh" else "Both pictures."
    return f"图{n}。" if lang == "zh" else f"Picture {n}."


def ask_text(rng, codes, lang):
    if lang == "zh":
        thought = f"图1：{codes[0]}。图2：{codes[1]}。"
    else:
        thought = f"Picture 1: {codes[0]}. Picture 2: {codes[1]}."
    if rng.random() < 0.6:
        n = rng.choice([1, 2])
        return QA("pair", lang, pick(rng, READ, lang, n=n), thought, codes[n - 1])
    same = codes[0] == codes[1]
    answer = {"zh": "一样。" if same else "不一样。", "en": "Yes." if same else "No."}[lang]
    return QA("pair", lang, pick(rng, SAME_TEXT, lang), thought, answer)


def make_codes(rng):
    first = text_questions.make_line(rng, 4)
    if rng.random() < 0.35:
        return [first, first]
    if rng.random() < 0.5:
        i = rng.randrange(len(first))
        other = rng.choice([c for c in words.LETTERS if c != first[i]])
        return [first, first[:i] + other + first[i + 1:]]
    return [first, text_questions.make_line(rng, 4)]
