"""Where a thing is, exactly: boxes [x1, y1, x2, y2] and points [x, y] in thousandths of the picture."""

import pictures
import words
from qa import QA, expand
from words import capital, place, the_thing

STEP = 10  # of the coordinates: a hundredth of the picture is what the model can see

BOX = {
    "en": ["(Give|Show|Tell) me the (bounding box|box|bbox) of {thing}.",
           "What is the (bounding box|box|bbox) of {thing}?",
           "(Give|Return|Output|Find) the (bounding box|box|coordinates) of {thing}.",
           "(Box|Bounding box|bbox) of {thing}",
           "(Detect|Locate|Localise|Localize|Ground) {thing} with a (box|bounding box).", "(Detect|Ground) {thing}.",
           "Draw a (box|bounding box) around {thing}.", "Where exactly is {thing}? (Answer with a box.|Give a box.)",
           "Where is {thing}? (Give|Answer with|Return) (its|the|a) (bounding box|box|coordinates) as {form}.",
           "Find {thing} and (give|return) its (box|bounding box|coordinates).", "Box {thing}.",
           "Which box (contains|holds) {thing}?", "What are the coordinates of {thing}?",
           "Mark {thing} with a (box|bounding box).", "(Locate|Detect) {thing} (in the form|as) {form}."],
    "zh": ["(给出|输出|返回|告诉我|写出){thing}的(边界框|框|包围框|坐标框|坐标|位置框)。", "{thing}的(边界框|包围框|坐标|框)是(什么|多少)？",
           "(请|)(用框|用边界框)(标出|框出){thing}。", "(请|帮我|)框出{thing}。", "(请|)(定位|检测|标出|找出){thing}(，用框表示|，给出坐标|并给出坐标)。",
           "(请|)(定位|检测){thing}。", "{thing}在哪里？(请|)(用|给出|返回)(边界框|框|坐标)(回答|)。", "{thing}在哪里？(请|)用{form}(的形式|的格式|)回答。",
           "找到{thing}，(给出|返回)(它的|)(框|边界框|坐标)。", "{thing}的(准确|精确|具体)位置(在哪里|是什么|)？", "(检测|定位){thing}，格式(是|为){form}。"],
}
POINT = {
    "en": ["(Point|Click) (at|to|on) {thing}.", "Give (me |)(a|the) point (on|in|of) {thing}.",
           "Where (should|do|can) I click to (hit|reach|select) {thing}?",
           "What is the (centre|center|middle) of {thing}?",
           "(Give|Return|Find) the (centre|center|middle|centre point) of {thing}.",
           "Where is {thing}? (Answer|Give it|Reply) (with a point|as a point|as [x, y]|with [x, y]).",
           "(Mark|Show) {thing} with a point.", "Click {thing}.", "Point out {thing}.", "Centre point of {thing}"],
    "zh": ["(请|)(点击|指出|指向|点一下|点出){thing}。", "(给出|返回|输出|告诉我){thing}的(中心点|中心|点坐标|中心坐标)。",
           "{thing}的(中心|中心点|中心坐标)(在哪里|是什么|是多少)？", "(请|)用(一个点|点|点坐标)(标出|表示){thing}(的位置|)。",
           "{thing}在哪里？(请|)用(一个点|点|[x, y])(回答|表示)。", "我(要|该)点(哪里|哪儿)才能(选中|点到){thing}？"],
}
FORM = "[x1, y1, x2, y2]"


def thousandths(box):
    return [min(1000, max(0, STEP * round(1000 / STEP * v))) for v in box]


def box_text(thing, size):
    return str(thousandths(pictures.box_of(thing, size)))


def point_text(thing, size):
    left, top, right, bottom = pictures.box_of(thing, size)
    return str(thousandths([(left + right) / 2, (top + bottom) / 2]))


def name_in(rng, things, t, lang):
    """How a question may call a thing: its shape, or its colour too; of one alone its colour may do."""
    if sum(u.shape == t.shape for u in things) == 1 and rng.random() < 0.4:
        return words.SHAPES[t.shape] if lang == "zh" else f"the {t.shape}"
    return the_thing(t.colour, t.shape, lang)


def thought(t, lang):
    if lang == "zh":
        return f"{the_thing(t.colour, t.shape, lang)}在{place(t.cell, lang)}。"
    return f"{capital(the_thing(t.colour, t.shape, lang))} is {place(t.cell, lang)}."


def ask(rng, things, size, lang):
    """size: of the picture as it was drawn."""
    table, text = (BOX, box_text) if rng.random() < 0.7 else (POINT, point_text)
    template = expand(rng, rng.choice(table[lang]))
    if rng.random() < 0.06:
        absent = rng.choice([s for s in words.SHAPES if all(t.shape != s for t in things)])
        name = words.SHAPES[absent] if lang == "zh" else f"the {absent}"
        answer = f"图中没有{name}。" if lang == "zh" else f"There is no {absent}."
        return QA("box", lang, template.format(thing=name, form=FORM), answer, answer)
    t = rng.choice(things)
    question = template.format(thing=name_in(rng, things, t, lang), form=FORM)
    return QA("box" if table is BOX else "point", lang, question, thought(t, lang), text(t, size))
