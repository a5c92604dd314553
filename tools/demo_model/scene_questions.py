"""Questions about one picture of up to four coloured shapes."""

import words
from pictures import Thing
from qa import QA, pick
from words import capital, join, place, the_thing, thing

DESCRIBE = {
    "en": ["Describe the picture.", "What is in the picture?", "What do you see?",
           "Describe this image.", "What does the image show?", "Tell me what you see in the picture.",
           "What can you see in this image?", "Which shapes are in the picture and where are they?",
           "Please describe what is in this picture."],
    "zh": ["描述这张图片。", "图片里有什么？", "你看到了什么？", "请描述图中的内容。", "这张图里有哪些形状？它们在哪里？",
           "图中有什么？", "请说说你看到的图形。"],
}
COLOUR = {
    "en": ["What colour is the {shape}?", "What color is the {shape}?", "Which colour does the {shape} have?",
           "Tell me the colour of the {shape}.", "What is the color of the {shape}?"],
    "zh": ["{shape}是什么颜色？", "图中的{shape}是什么颜色的？", "请问{shape}的颜色是什么？", "{shape}的颜色是什么？"],
}
SHAPE = {
    "en": ["What shape is the {colour} one?", "What is the {colour} shape?", "Which shape is {colour}?",
           "What shape is the {colour} object?"],
    "zh": ["{colour}的是什么形状？", "{colour}的图形是什么？", "哪个形状是{colour}的？"],
}
AT = {
    "en": ["What is {place}?", "What do you see {place}?", "Which shape is {place}?",
           "What is {place} of the picture?"],
    "zh": ["{place}是什么？", "{place}有什么？", "图片{place}是什么图形？"],
}
WHERE = {
    "en": ["Where is {thing}?", "Where in the picture is {thing}?", "In which place is {thing}?",
           "Where can you see {thing}?"],
    "zh": ["{thing}在哪里？", "{thing}在图片的什么位置？", "{thing}在什么地方？", "请问{thing}在哪儿？"],
}
COUNT_ALL = {
    "en": ["How many shapes are there?", "How many shapes are in the picture?", "Count the shapes.",
           "How many objects do you see?", "How many things are in the picture?"],
    "zh": ["有几个图形？", "图中一共有多少个形状？", "数一数有几个图形。", "图片里有几个形状？"],
}
COUNT_SHAPE = {
    "en": ["How many {shape}s are there?", "How many {shape}s are in the picture?", "Count the {shape}s.",
           "How many {shape}s do you see?"],
    "zh": ["有几个{shape}？", "图中有多少个{shape}？", "数一数有几个{shape}。"],
}
COUNT_COLOUR = {
    "en": ["How many {colour} shapes are there?", "How many shapes are {colour}?",
           "Count the {colour} shapes."],
    "zh": ["有几个{colour}的图形？", "{colour}的形状有多少个？", "数一数有几个{colour}的图形。"],
}
EXISTS = {
    "en": ["Is there {thing}?", "Is there {thing} in the picture?", "Do you see {thing}?",
           "Does the picture show {thing}?"],
    "zh": ["有{thing}吗？", "图中有没有{thing}？", "你看到{thing}了吗？"],
}
SIDE = {
    "left": {"en": ["Is {a} to the left of {b}?", "Is {a} left of {b}?"],
             "zh": ["{a}在{b}的左边吗？", "{a}是在{b}的左边吗？"]},
    "right": {"en": ["Is {a} to the right of {b}?", "Is {a} right of {b}?"],
              "zh": ["{a}在{b}的右边吗？", "{a}是在{b}的右边吗？"]},
    "above": {"en": ["Is {a} above {b}?", "Is {a} higher than {b}?"],
              "zh": ["{a}在{b}的上面吗？", "{a}比{b}高吗？"]},
    "below": {"en": ["Is {a} below {b}?", "Is {a} lower than {b}?"],
              "zh": ["{a}在{b}的下面吗？", "{a}比{b}低吗？"]},
}
BIGGER = {
    "en": ["Which is bigger, {a} or {b}?", "Which one is larger, {a} or {b}?", "What is bigger: {a} or {b}?"],
    "zh": ["{a}和{b}哪个大？", "{a}和{b}哪一个更大？"],
}
SMALLER = {
    "en": ["Which is smaller, {a} or {b}?", "Which one is smaller, {a} or {b}?"],
    "zh": ["{a}和{b}哪个小？", "{a}和{b}哪一个更小？"],
}

SMALL_BELOW, LARGE_ABOVE = 0.265, 0.365  # radii; questions about size leave out what lies between
RADII = [(0.22, 0.26), (0.22, 0.26), (0.28, 0.35), (0.37, 0.44), (0.37, 0.44)]
COLUMNS = {"en": ["on the left", "in the middle", "on the right"], "zh": ["在左边", "在中间", "在右边"]}
ROWS = {"en": ["at the top", "in the middle", "at the bottom"], "zh": ["在上面", "在中间", "在下面"]}


def make_things(rng, count=None):
    """1..4 things in different cells; every thing is told apart by shape and colour."""
    count = count or rng.choice([1, 2, 2, 3, 3, 3, 4, 4])
    cells = rng.sample(range(9), count)
    things, names = [], set()
    shapes, colours = list(words.SHAPES), list(words.COLOURS)
    if rng.random() < 0.4:  # few kinds, so that counts above one are common
        shapes = rng.sample(shapes, 2)
    if rng.random() < 0.4:
        colours = rng.sample(colours, 3)
    while len(things) < count:
        shape, colour = rng.choice(shapes), rng.choice(colours)
        if (shape, colour) in names:
            continue
        names.add((shape, colour))
        things.append(Thing(shape, colour, cells[len(things)], rng.uniform(*rng.choice(RADII)),
                            rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12)))
    return sorted(things, key=lambda t: t.cell)


def clause(t, lang):
    if lang == "zh":
        return f"{place(t.cell, lang)}有一个{thing(t.colour, t.shape, lang)}"
    return f"{thing(t.colour, t.shape, lang)} {place(t.cell, lang)}"


def description(things, lang):
    text = join([clause(t, lang) for t in things], lang)
    return text + "。" if lang == "zh" else capital(text) + "."


def sight(things, lang):
    """What a thought says first."""
    text = join([clause(t, lang) for t in things], lang)
    return f"我看到{text}。" if lang == "zh" else f"I see {text}."


def count_answer(things, lang):
    """Names the things that count, then their number."""
    if not things:
        return "没有。" if lang == "zh" else "There are none."
    text = join([clause(t, lang) for t in things], lang)
    return f"{text}，共{len(things)}个。" if lang == "zh" else f"{capital(text)}: {len(things)}."


def has(flag, lang):
    if lang == "zh":
        return "有。" if flag else "没有。"
    return "Yes." if flag else "No."


def colour_name(colour, lang):
    return words.COLOURS[colour][1] if lang == "zh" else colour


def shape_name(shape, lang):
    return words.SHAPES[shape] if lang == "zh" else shape


def _end(text, lang):
    return text + "。" if lang == "zh" else capital(text) + "."


def describe(rng, things, lang):
    return QA("describe", lang, pick(rng, DESCRIBE, lang), sight(things, lang),
              description(things, lang))


def colour(rng, things, lang):
    single = [t for t in things if sum(u.shape == t.shape for u in things) == 1]
    if not single:
        return None
    t = rng.choice(single)
    return QA("colour", lang, pick(rng, COLOUR, lang, shape=shape_name(t.shape, lang)),
              sight(things, lang), _end(colour_name(t.colour, lang), lang))


def shape(rng, things, lang):
    single = [t for t in things if sum(u.colour == t.colour for u in things) == 1]
    if not single:
        return None
    t = rng.choice(single)
    return QA("shape", lang, pick(rng, SHAPE, lang, colour=colour_name(t.colour, lang)),
              sight(things, lang), _end(shape_name(t.shape, lang) if lang == "zh" else f"a {t.shape}", lang))


def what_at(rng, things, lang):
    cells = {t.cell: t for t in things}
    cell = rng.choice(list(cells)) if rng.random() < 0.85 else rng.randrange(9)
    question = pick(rng, AT, lang, place=place(cell, lang))
    if cell in cells:
        answer = _end(thing(cells[cell].colour, cells[cell].shape, lang), lang)
    else:
        answer = "那里什么都没有。" if lang == "zh" else "There is nothing."
    return QA("shape", lang, question, sight(things, lang), answer)


def where(rng, things, lang):
    t = rng.choice(things)
    single = sum(u.shape == t.shape for u in things) == 1
    if lang == "zh":
        name = words.SHAPES[t.shape] if single and rng.random() < 0.5 else thing(t.colour, t.shape, lang)
        answer = f"在{place(t.cell, lang)}。"
    else:
        name = f"the {t.shape}" if single and rng.random() < 0.5 else the_thing(t.colour, t.shape, lang)
        answer = capital(place(t.cell, lang)) + "."
    return QA("position", lang, pick(rng, WHERE, lang, thing=name), sight(things, lang), answer)


def count(rng, things, lang):
    kind = rng.randrange(3)
    if kind == 0:
        counted, question = things, pick(rng, COUNT_ALL, lang)
    elif kind == 1:
        s = rng.choice(things).shape if rng.random() < 0.8 else rng.choice(list(words.SHAPES))
        counted = [t for t in things if t.shape == s]
        name = words.SHAPES[s] if lang == "zh" else ("crosse" if s == "cross" else s)
        question = pick(rng, COUNT_SHAPE, lang, shape=name)
    else:
        c = rng.choice(things).colour if rng.random() < 0.8 else rng.choice(list(words.COLOURS))
        counted = [t for t in things if t.colour == c]
        question = pick(rng, COUNT_COLOUR, lang, colour=colour_name(c, lang))
    return QA("count", lang, question, sight(things, lang), count_answer(counted, lang))


def exists(rng, things, lang):
    names = {(t.shape, t.colour) for t in things}
    if rng.random() < 0.5:
        s, c = rng.choice(sorted(names))
    elif rng.random() < 0.6:  # near miss
        t = rng.choice(things)
        s, c = (t.shape, rng.choice(list(words.COLOURS))) if rng.random() < 0.5 else (
            rng.choice(list(words.SHAPES)), t.colour)
    else:
        s, c = rng.choice(list(words.SHAPES)), rng.choice(list(words.COLOURS))
    return QA("exists", lang, pick(rng, EXISTS, lang, thing=thing(c, s, lang)), sight(things, lang),
              has((s, c) in names, lang))


def side(rng, things, lang):
    """The answer names both columns (or rows) and then says yes or no."""
    if len(things) < 2:
        return None
    a, b = rng.sample(things, 2)
    column, row = a.cell % 3 - b.cell % 3, a.cell // 3 - b.cell // 3
    options = (["left", "right"] if column else []) + (["above", "below"] if row else [])
    relation = rng.choice(options)
    flag = {"left": column < 0, "right": column > 0, "above": row < 0, "below": row > 0}[relation]
    if relation in ("left", "right"):
        at_a, at_b = (COLUMNS[lang][t.cell % 3] for t in (a, b))
    else:
        at_a, at_b = (ROWS[lang][t.cell // 3] for t in (a, b))
    name_a, name_b = (the_thing(t.colour, t.shape, lang) for t in (a, b))
    if lang == "zh":
        answer = f"{name_a}{at_a}，{name_b}{at_b}，{'是的' if flag else '不是'}。"
    else:
        answer = f"{capital(name_a)} is {at_a} and {name_b} is {at_b}, so {'yes' if flag else 'no'}."
    return QA("compare", lang, pick(rng, SIDE[relation], lang, a=name_a, b=name_b), _both_places(a, b, lang), answer)


def _both_places(a, b, lang):
    if lang == "zh":
        return (f"{the_thing(a.colour, a.shape, lang)}在{place(a.cell, lang)}，"
                f"{the_thing(b.colour, b.shape, lang)}在{place(b.cell, lang)}。")
    return (f"{capital(the_thing(a.colour, a.shape, lang))} is {place(a.cell, lang)} and "
            f"{the_thing(b.colour, b.shape, lang)} is {place(b.cell, lang)}.")


def size(rng, things, lang):
    """About a small and a large thing; the answer calls each by its size and then chooses."""
    small = [t for t in things if t.radius < SMALL_BELOW]
    large = [t for t in things if t.radius > LARGE_ABOVE]
    if not small or not large:
        return None
    pair = [rng.choice(small), rng.choice(large)]
    bigger = rng.random() < 0.5
    name = the_thing(pair[bigger].colour, pair[bigger].shape, lang)
    if rng.random() < 0.5:
        pair.reverse()
    names = [the_thing(t.colour, t.shape, lang) for t in pair]
    question = pick(rng, BIGGER if bigger else SMALLER, lang, a=names[0], b=names[1])
    sizes = [("小" if lang == "zh" else "small") if t.radius < SMALL_BELOW else ("大" if lang == "zh" else "big")
             for t in pair]
    if lang == "zh":
        answer = f"{names[0]}{sizes[0]}，{names[1]}{sizes[1]}：{name}。"
    else:
        answer = f"{capital(names[0])} is {sizes[0]} and {names[1]} is {sizes[1]}: {name}."
    return QA("compare", lang, question, _both_places(*pair, lang), answer)


def missing(rng, things, lang):
    """A question about a shape that is not there."""
    absent = [s for s in words.SHAPES if all(t.shape != s for t in things)]
    s = rng.choice(absent)
    if lang == "zh":
        question = pick(rng, rng.choice([COLOUR, WHERE]), lang, shape=words.SHAPES[s], thing=words.SHAPES[s])
        answer = f"图中没有{words.SHAPES[s]}。"
    else:
        question = pick(rng, rng.choice([COLOUR, WHERE]), lang, shape=s, thing=f"the {s}")
        answer = f"There is no {s}."
    return QA("exists", lang, question, sight(things, lang), answer)


MAKERS = [describe, colour, shape, what_at, where, count, exists, side, size, missing]
WEIGHTS = [3, 2, 2, 2, 3, 8, 3, 10, 7, 1]


def ask(rng, things, lang):
    while True:
        qa = rng.choices(MAKERS, WEIGHTS)[0](rng, things, lang)
        if qa:
            return qa
