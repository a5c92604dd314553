"""Questions about printed characters."""

import words
from qa import QA, pick

READ = {
    "en": ["Read the text.", "What does it say?", "What is written in the picture?", "Read the characters.",
           "Which characters are in the picture?", "What text do you see?", "Please read the text in the image.",
           "What is printed here?"],
    "zh": ["读出图中的文字。", "图中写了什么？", "图片上写的是什么？", "请读出这些字符。", "这是什么字符？", "图里印着什么？"],
}
READ_LINES = {
    "en": ["Read all lines.", "Read all the lines of the text.", "What do the lines say?"],
    "zh": ["读出每一行。", "请逐行读出文字。", "每一行写了什么？"],
}
READ_ONE_LINE = {
    "en": ["Read line {n}.", "What does line {n} say?", "What is written in line {n}?"],
    "zh": ["读出第{n}行。", "第{n}行写了什么？"],
}
COUNT = {
    "en": ["How many characters are there?", "How many characters are in the text?", "Count the characters."],
    "zh": ["有几个字符？", "一共有多少个字符？"],
}
COLOUR = {
    "en": ["What colour is the text?", "What color are the characters?", "What colour is the writing?"],
    "zh": ["文字是什么颜色？", "字符是什么颜色的？"],
}


def make_code(rng, length):
    return "".join(rng.choice(words.LETTERS) for _ in range(length))


def make_line(rng, longest=6):
    length = rng.choices(range(1, 7), [2, 2, 3, 4, 5, 6])[0]
    return make_code(rng, min(length, longest))


def spelled(code, lang):
    if lang == "zh":
        return "依次是" + "、".join(code) + "。"
    return ("The characters are " if len(code) > 1 else "The character is ") + ", ".join(code) + "."


def read(rng, code, lang):
    category = "read_1_4" if len(code) <= 4 else "read_5_6"
    return QA(category, lang, pick(rng, READ, lang), spelled(code, lang), code)


def read_lines(rng, lines, lang):
    thought = ("共" + str(len(lines)) + "行。") if lang == "zh" else f"There are {len(lines)} lines."
    return QA("lines", lang, pick(rng, READ_LINES, lang), thought, "\n".join(lines))


def read_one_line(rng, lines, lang):
    n = rng.randrange(len(lines))
    return QA("lines", lang, pick(rng, READ_ONE_LINE, lang, n=n + 1), spelled(lines[n], lang), lines[n])


def count(rng, code, lang):
    n = len(code)
    answer = f"有{n}个。" if lang == "zh" else ("There is 1." if n == 1 else f"There are {n}.")
    return QA("text_other", lang, pick(rng, COUNT, lang), spelled(code, lang), answer)


def colour(rng, code, name, lang):
    text = {"white": "白色"}.get(name) or words.COLOURS[name][1]
    answer = text + "。" if lang == "zh" else words.capital(name) + "."
    return QA("text_other", lang, pick(rng, COLOUR, lang), spelled(code, lang), answer)


def ask(rng, lines, colour_name, lang):
    if len(lines) > 1:
        return (read_lines if rng.random() < 0.6 else read_one_line)(rng, lines, lang)
    draw = rng.random()
    if draw < 0.8:
        return read(rng, lines[0], lang)
    if draw < 0.9:
        return count(rng, lines[0], lang)
    return colour(rng, lines[0], colour_name, lang)
