"""Everyday phrasings that training never used, 100 a language: [(what is asked, phrasing)].

They were written apart from everyday.py; check() fails if training could ask one of them.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo_model"))
import everyday  # noqa: E402
import scene_questions as scene  # noqa: E402
import text_only  # noqa: E402
import text_questions  # noqa: E402
from qa import CHOICE  # noqa: E402

TABLES = {
    "describe": scene.DESCRIBE, "colour": scene.COLOUR, "shape": scene.SHAPE, "at": scene.AT, "where": scene.WHERE,
    "count": scene.COUNT_ALL, "count_shape": scene.COUNT_SHAPE, "count_colour": scene.COUNT_COLOUR,
    "exists": scene.EXISTS, **scene.SIDE, "bigger": scene.BIGGER, "smaller": scene.SMALLER,
    "read": text_questions.READ, "sum": text_only.SUM,
}
HELD_OUT = {
    "en": {
        "describe": ["I'd love a quick rundown of this image.", "Mind describing the image to me?",
                     "So what have we got in this picture?", "Walk me through the picture.", "What is depicted here?",
                     "Could you tell me what the image contains?", "Let me know what you see.",
                     "What stuff is in the photo?", "A description of the photo would be nice.",
                     "Which things appear in the picture?", "What is visible in this image?",
                     "Describe everything in the picture.", "What all is in this picture?", "Describe the drawing."],
        "colour": ["Tell me what color the {shape} has.", "Do you know the colour of the {shape}?",
                   "The {shape} in the picture has which color?", "What is the {shape}'s colour?",
                   "Can you identify the {shape}'s color?", "Hey, that {shape}, what color is it?",
                   "Please state the color of the {shape}.", "Which color was used for the {shape}?",
                   "What color would you say the {shape} is?"],
        "shape": ["What kind of figure is the {colour} one?", "What does the {colour} thing look like?",
                  "Which figure was drawn in {colour}?", "What is the thing in {colour}?",
                  "The one in {colour}, what shape is it?"],
        "at": ["What sits {place}?", "Which object do you find {place}?", "Can you name the shape {place}?",
               "What's drawn {place}?", "I would like to know which shape is {place}.", "What was put {place}?"],
        "where": ["In what spot is {thing}?", "Whereabouts is {thing}?", "Please say where {thing} is.",
                  "I'm looking for {thing}. Where is it?", "Where in the image can {thing} be found?",
                  "Which position does {thing} have?", "Help me find {thing}.", "Where would I look for {thing}?",
                  "Where exactly in the picture is {thing}?"],
        "count": ["How many shapes can be seen?", "How many shapes did they draw?",
                  "What's the total number of shapes?", "Could you count the shapes for me?",
                  "How many different things are there in the picture?", "Just how many objects are in this image?",
                  "Give me a count of the shapes."],
        "count_shape": ["How many {shape}s have been drawn?", "What's the count of {shape}s?",
                        "Do you know how many {shape}s are in the picture?", "How many {shape}s appear in the image?",
                        "Could you count the {shape}s?", "How many of the shapes are {shape}s?"],
        "count_colour": ["How many shapes have the colour {colour}?", "How many {colour} things are there?",
                         "How many objects were drawn in {colour}?", "Could you count the {colour} ones?",
                         "What's the count of {colour} shapes?"],
        "exists": ["Is {thing} present?", "Can {thing} be seen?", "Is there by any chance {thing}?",
                   "Did anyone draw {thing}?", "Is {thing} among the shapes?",
                   "Would you say there is {thing} in the picture?", "Can I find {thing} in the image?",
                   "Do we have {thing} in this picture?"],
        "left": ["Would you say {a} is left of {b}?"], "right": ["Is it true that {a} is to the right of {b}?"],
        "above": ["Is {a} located above {b}?"], "below": ["Is {a} located below {b}?"],
        "bigger": ["Between {a} and {b}, which is larger?", "Is {a} or {b} the bigger one?"],
        "smaller": ["Between {a} and {b}, which is smaller?"],
        "read": ["What are the letters here?", "What does the printed text say?",
                 "I can't read this, what does it say?", "What characters do you make out?", "Spell out the text.",
                 "Give me the text in this image.", "What word or code is shown?", "Can you make out the text?"],
        "sum": ["What would {a} plus {b} be?", "What is the result of {a} + {b}?", "Please add up {a} and {b}.",
                "If I have {a} apples and get {b} more, how many do I have?", "{a} + {b} makes what?",
                "Do you know what {a} + {b} is?", "What number is {a} + {b}?", "Could you work out {a} + {b}?",
                "Quickly, {a} plus {b}!", "How much do {a} and {b} make?"],
        "hello": ["Good to meet you!", "Hiya!"],
        "who": ["What sort of model are you?", "What are you able to do?", "What can I use you for?"],
        "thanks": ["Thanks so much for your help!"],
    },
    "zh": {
        "describe": ["能不能说一说图里的内容？", "请问这幅图片展示的是什么内容？", "给我描述一下画面。", "画面里都有什么？", "你从图中看出了什么？", "请详细说明图片内容。",
                     "帮忙描述下这张图。", "图里面画着什么东西呢？", "我好奇这张图片里有什么。", "这张图片包含哪些内容？", "请把你看到的说出来。", "图上都画了些什么？",
                     "请概括一下这张图。", "图片中出现了哪些形状？"],
        "colour": ["{shape}是哪一种颜色的？", "你能说出{shape}的颜色吗？", "{shape}到底是什么颜色？", "图片里{shape}的颜色是哪种？", "{shape}涂成了什么颜色？",
                   "我很想知道{shape}的颜色。", "那一个{shape}什么颜色？", "请告诉我{shape}是什么颜色的。", "{shape}的颜色叫什么？"],
        "shape": ["那个{colour}的是个什么图形？", "{colour}的东西长什么样？", "哪一个图形的颜色是{colour}？", "{colour}画的是什么形状？",
                  "请问{colour}的形状是哪个？"],
        "at": ["{place}究竟是哪个图形？", "你在{place}看到了什么？", "位于{place}的是什么？", "{place}那个图形是什么？", "请说出{place}的图形。",
               "{place}有个什么东西？"],
        "where": ["请问{thing}位于图中的什么位置？", "{thing}在图里的哪一块？", "请告诉我{thing}在哪里。", "你看到{thing}在什么地方了吗？", "{thing}被画在哪里？",
                  "我找不到{thing}，它在哪儿？", "{thing}在哪个方向？", "能告诉我{thing}的位置吗？", "说一下{thing}在哪里。"],
        "count": ["画面中有几个图形？", "你看到了几个图形？", "能数一下有几个图形吗？", "图形一共有多少？", "请问总共画了几个图形？", "这张图片有多少个图形？", "图形有几个？"],
        "count_shape": ["你看到了几个{shape}？", "画面中有几个{shape}？", "图里画了多少个{shape}？", "能数一下{shape}吗？", "一共能看到几个{shape}？",
                        "请告诉我{shape}的数目。"],
        "count_colour": ["你看到了几个{colour}的图形？", "画面中{colour}的图形有几个？", "有多少图形是{colour}的？", "{colour}的一共几个？",
                         "请问{colour}的图形总共有多少个？"],
        "exists": ["请问图里是不是有{thing}？", "图中能看到{thing}吗？", "这张图有没有{thing}？", "画面里有{thing}吗？", "你发现{thing}了吗？",
                   "{thing}在图里吗？", "图中出现{thing}了吗？", "能不能看到{thing}？"],
        "left": ["{a}位于{b}的左边吗？"], "right": ["{a}位于{b}的右边吗？"], "above": ["{a}处在{b}的上方吗？"], "below": ["{a}处在{b}的下方吗？"],
        "bigger": ["{a}与{b}相比，哪个大？", "{a}和{b}中更大的是哪个？"], "smaller": ["{a}和{b}中更小的是哪个？"],
        "read": ["请问图上的字是什么？", "能帮我看看写的是什么吗？", "图片里的文字内容是什么？", "把文字读给我听。", "这串字符是什么？", "请读一读图中的字。", "写的啥？",
                 "你看到了什么文字？"],
        "sum": ["{a}再加{b}是多少？", "{a}添上{b}是几？", "请问{a}加{b}得数是多少？", "{a}+{b}的答案是什么？", "帮忙算一下{a}+{b}",
                "我有{a}个苹果，又买了{b}个，一共几个？", "{a}加{b}等于几呀？", "算一算：{a}+{b}", "{a}和{b}合起来是多少？", "{a} 加 {b} 结果是？"],
        "hello": ["向你问好！", "你好，请多关照"],
        "who": ["你是个什么样的模型？", "可以介绍下自己吗？", "我能让你做什么？"],
        "thanks": ["谢谢你帮我！"],
    },
}


def _plain(text):
    """Fields, end marks, spaces and capitals do not make another phrasing."""
    return re.sub(r"[^\w§=+]|_", "", re.sub(r"\{\w+\}", "§", text)).lower()


def _expansions(template):
    match = CHOICE.search(template)
    if not match:
        return {template}
    before, after = template[:match.start()], template[match.end():]
    return {e for option in match[1].split("|") for e in _expansions(before + option + after)}


def _trained(lang):
    templates = [t for table in TABLES.values() for t in table[lang]]
    templates += [t for _, more in everyday.MORE for t in more[lang]]
    for talk in [text_only.HELLO, text_only.WHO, *everyday.TALK.values()]:
        templates += talk[lang][0]
    return {_plain(e) for t in templates
            for e in _expansions(t.replace("@", everyday.PICTURE[lang]))}


def check():
    """Held-out phrasings of which training has the same words, polite ones before and after aside."""
    found = []
    for lang, kinds in HELD_OUT.items():
        trained = _trained(lang)
        before, after = ({_plain(words) for words in options} for options in everyday.POLITE[lang])
        for phrasing in (p for phrasings in kinds.values() for p in phrasings):
            text = _plain(phrasing)
            cores = {text.removeprefix(b).removesuffix(a) for b in before for a in after}
            found += [phrasing] if cores & trained else []
    return found


if __name__ == "__main__":
    for language, of_kind in HELD_OUT.items():
        print(language, sum(len(p) for p in of_kind.values()), "phrasings")
    print("also in training:", check())
    sys.exit(bool(check()))
