"""Questions about two pictures."""

import dataclasses

import scene_questions
import text_questions
import words
from qa import QA, pick
from scene_questions import count_answer, description, make_things
from words import capital, place, thing

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
    """Two lists of things: the same, one thing changed, or unrelated."""
    first = make_things(rng, rng.choice([1, 2, 2, 3]))
    if rng.random() < 0.2:
        return first, [dataclasses.replace(t) for t in first]
    if rng.random() < 0.35:
        return first, make_things(rng, rng.choice([1, 2, 2, 3]))
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
    return first, sorted(second, key=lambda u: u.cell)


def sight(first, second, lang):
    if lang == "zh":
        return f"图1：{description(first, lang)}图2：{description(second, lang)}"
    return f"Picture 1: {description(first, lang)} Picture 2: {description(second, lang)}"


def place_by_place(first, second, lang):
    """Goes through the places where either picture has a thing and says what each has there."""
    cells = [{t.cell: t for t in things} for things in (first, second)]
    parts = []
    for cell in sorted({*cells[0], *cells[1]}):
        a, b = (c.get(cell) for c in cells)
        same = a and b and a.key() == b.key()
        name_a, name_b = (_name(t, lang) for t in (a, b))
        if lang == "zh":
            # Both are named before they are compared: each token needs one look at one picture.
            parts.append(f"{place(cell, lang)}：图1{name_a}，图2{name_b}，{'相同' if same else '不同'}。")
        else:
            parts.append(f"{capital(place(cell, lang))}: {name_a}" + (
                " in both." if same else f", but {name_b} in picture 2."))
    return parts


def _name(t, lang):
    if t is None:
        return "没有" if lang == "zh" else "nothing"
    return thing(t.colour, t.shape, lang)


def ask(rng, first, second, lang):
    scenes = [first, second]
    same = [t.key() for t in first] == [t.key() for t in second]
    thought = sight(first, second, lang)
    kind = rng.choices(["same", "difference", "which", "more", "total", "describe"], [2, 3, 2, 1, 1, 1])[0]
    if kind in ("same", "difference"):
        thought = "我比较这两张图片。" if lang == "zh" else "I compare the two pictures."
        question = pick(rng, SAME if kind == "same" else DIFFERENCE, lang)
        parts = place_by_place(first, second, lang)
        if kind == "same":
            parts.append(same_answer(same, lang))
        elif same:
            parts.append("没有不同。" if lang == "zh" else "Nothing is different.")
        answer = ("" if lang == "zh" else " ").join(parts)
    elif kind == "which":
        a, b = ({(t.shape, t.colour): t for t in s} for s in scenes)
        name = rng.choice(sorted({*a, *b}))
        question = pick(rng, WHICH, lang, thing=thing(name[1], name[0], lang))
        answer = which_answer(a.get(name), b.get(name), lang)
    elif kind == "more":
        question = pick(rng, MORE, lang)
        answer = more_answer(len(first), len(second), lang)
    elif kind == "total":
        n = rng.choice([1, 2])
        question = pick(rng, TOTAL, lang, n=n)
        answer = count_answer(scenes[n - 1], lang)
    else:
        n = rng.choice([1, 2])
        question = pick(rng, DESCRIBE, lang, n=n)
        answer = description(scenes[n - 1], lang)
    return QA("pair", lang, question, thought, answer)


def same_answer(same, lang):
    if lang == "zh":
        return "一样。" if same else "不一样。"
    return "They are the same." if same else "They are not the same."


def which_answer(a, b, lang):
    """a, b: the thing in each picture, or None; not both None."""
    if lang == "zh":
        places = [f"在{place(t.cell, lang)}" if t else "没有" for t in (a, b)]
        end = "两张图都有。" if a and b else f"是图{1 if a else 2}。"
        return f"图1：{places[0]}。图2：{places[1]}。{end}"
    places = [place(t.cell, lang) if t else "nothing" for t in (a, b)]
    end = "Both pictures." if a and b else f"It is picture {1 if a else 2}."
    return f"Picture 1: {places[0]}. Picture 2: {places[1]}. {end}"


def more_answer(first, second, lang):
    if lang == "zh":
        end = f"图{1 if first > second else 2}更多" if first != second else "一样多"
        return f"图1有{first}个，图2有{second}个：{end}。"
    end = f"picture {1 if first > second else 2} has more" if first != second else "the same number"
    return f"Picture 1 has {first} and picture 2 has {second}: {end}."


def ask_text(rng, codes, lang):
    if lang == "zh":
        sight_of_both = f"图1：{codes[0]}。图2：{codes[1]}。"
    else:
        sight_of_both = f"Picture 1: {codes[0]}. Picture 2: {codes[1]}."
    if rng.random() < 0.5:
        n = rng.choice([1, 2])
        return QA("pair", lang, pick(rng, READ, lang, n=n), sight_of_both, codes[n - 1])
    thought = "我比较这两张图片。" if lang == "zh" else "I compare the two pictures."
    answer = sight_of_both + ("" if lang == "zh" else " ") + same_answer(codes[0] == codes[1], lang)
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
