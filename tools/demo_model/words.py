"""The words the demo model knows, in English ("en") and Chinese ("zh")."""

COLOURS = {  # name: (RGB, Chinese)
    "red": ((220, 30, 35), "红色"),
    "orange": ((250, 140, 20), "橙色"),
    "yellow": ((245, 215, 30), "黄色"),
    "green": ((35, 150, 60), "绿色"),
    "blue": ((35, 80, 215), "蓝色"),
    "purple": ((130, 45, 170), "紫色"),
    "pink": ((250, 135, 185), "粉色"),
    "brown": ((125, 75, 35), "棕色"),
    "black": ((20, 20, 20), "黑色"),
    "gray": ((130, 130, 130), "灰色"),
}
SHAPES = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "星形",
    "diamond": "菱形",
    "cross": "十字形",
    "heart": "心形",
    "ring": "圆环",
}
# Cells of a 3 x 3 grid, row by row.
PLACES_EN = [
    "at the top left", "at the top", "at the top right",
    "on the left", "in the centre", "on the right",
    "at the bottom left", "at the bottom", "at the bottom right",
]
PLACES_ZH = ["左上角", "上方", "右上角", "左侧", "中间", "右侧", "左下角", "下方", "右下角"]
NUMBERS_EN = ["zero", "one", "two", "three", "four", "five", "six"]
BACKGROUNDS = [
    (255, 255, 255), (255, 255, 255), (255, 250, 235), (240, 240, 240),
    (232, 243, 255), (235, 250, 235), (250, 240, 250),
]
DARK_BACKGROUNDS = [(25, 35, 70), (20, 60, 50), (60, 20, 30), (15, 15, 15), (45, 45, 50)]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

UNKNOWN = {
    "en": "I do not know. I was only taught shapes, printed characters and small sums.",
    "zh": "我不知道。我只学过形状、印刷字符和简单加法。",
}
UNKNOWN_THOUGHT = {
    "en": "This was never taught to me.",
    "zh": "这个问题我没有学过。",
}
NO_PICTURE = {"en": "There is no picture.", "zh": "没有图片。"}
NO_PICTURE_THOUGHT = {"en": "I was given no picture.", "zh": "这里没有给出图片。"}


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def thing(colour, shape, lang):
    """Indefinite name of one object: "a red circle" or "红色的圆形"."""
    if lang == "zh":
        return f"{COLOURS[colour][1]}的{SHAPES[shape]}"
    return f"{article(colour)} {colour} {shape}"


def the_thing(colour, shape, lang):
    if lang == "zh":
        return f"{COLOURS[colour][1]}的{SHAPES[shape]}"
    return f"the {colour} {shape}"


def place(cell, lang):
    return PLACES_ZH[cell] if lang == "zh" else PLACES_EN[cell]


def capital(text):
    return text[:1].upper() + text[1:]


def join(parts, lang):
    if lang == "zh":
        return "，".join(parts)
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
