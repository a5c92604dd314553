"""Answers as JSON: a few fixed forms, whose keys are English and whose values are in the question's language."""

import json

import pictures
from box_questions import thousandths
from qa import QA, expand
from scene_questions import colour_name, shape_name, sight
from text_questions import spelled

JSON = {
    "en": "(as JSON|in JSON|in JSON format|as a JSON object|using JSON)",
    "zh": "(用 JSON |用JSON|以JSON格式|以 JSON 格式|按JSON格式|用json)",
}
ANSWER_IN_JSON = {
    "en": "(Answer|Reply|Respond|Give the answer) (as JSON|in JSON|in JSON format).",
    "zh": "(请|)(用 JSON |用JSON|以JSON格式)(回答|输出)。",
}
SHAPES = {
    "en": ["List (the|all|all the) shapes {json}.",
           "(Describe|Return|Give me|Show me|Write) the (picture|image|scene|shapes) {json}.",
           "What is in the (picture|image)? (Answer|Reply|Respond) {json}.", "(Describe|List) what you see {json}.",
           "(Colours|Colors) and shapes {json}(, please|).", "{json}: what (shapes are there|do you see)?",
           "(Output|Extract) (the|all) (objects|shapes) {json} with the keys color and shape.",
           "Answer {json}: which shapes (are there|do you see|are in the picture)?", "JSON list of the shapes"],
    "zh": ["{json}列出(图中的|所有|全部|)(图形|形状)。", "(请|){json}描述(这张图片|图片|这张图|图中的内容)。", "图(里|中)有什么？{json}回答。",
           "{json}(输出|返回|写出|给出)(图中的|所有的|)(图形|形状|颜色和形状)。", "(图里|图中)有(哪些|什么)(形状|图形)？(请|){json}回答。",
           "(颜色和形状|图形列表)，{json}输出。"],
}
COUNT = {
    "en": ["Count the (shapes|objects|things) {json}.",
           "How many (shapes|objects|things) are (there|in the picture)? (Answer|Reply|Respond) {json}.",
           "{json}: how many shapes are there?", "(Give|Return|Tell) me the (number|count) of shapes {json}.",
           "Number of shapes {json}"],
    "zh": ["(有|图中有|图里有|一共有)(几个|多少个)(图形|形状)？(请|){json}回答。", "{json}(数一数|统计|给出)(图形|形状)的(个数|数量)。",
           "数一数(图形|形状)，{json}(回答|输出)。"],
}
BOXES = {
    "en": ["(Give|Return|List|Show me|Output) (the |all |)(boxes|bounding boxes) of (all|the|all the) (shapes|"
           "objects) {json}.",
           "(Detect|Locate|Find|Ground) (all|the|all the) (shapes|objects|things) {json}( with their boxes|"
           " with boxes| with bounding boxes|).", "(Detect|Locate) everything( in the picture|) {json}.",
           "Where (are|is) (all |)the (shapes|objects)? (Answer|Reply) with boxes {json}."],
    "zh": ["{json}(给出|输出|返回|列出)(所有|全部|每个)(图形|形状)的(边界框|框|坐标)。", "(检测|定位|框出)(所有|全部)(图形|形状)，(并|){json}(输出|回答|返回)。",
           "(检测|定位)图中的(图形|形状|所有图形)，(给出边界框，|){json}(输出|回答)。"],
}

READ = {
    "en": ["(Read|Transcribe|Extract) the (text|characters) {json}.", "What does it say? (Answer|Reply) {json}.",
           "What is (written|printed)( here|)? (Answer|Reply) {json}.", "OCR {json}",
           "(Give|Return) the text {json}."],
    "zh": ["{json}(输出|返回|给出)(图中的|)文字。", "(读出|识别)(图中的|)(文字|字符)，{json}(输出|回答)。", "写了什么？{json}回答。"],
}


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def shapes_value(things, lang):
    return [{"color": colour_name(t.colour, lang), "shape": shape_name(t.shape, lang)} for t in things]


def name(t, lang):
    return colour_name(t.colour, lang) + ("" if lang == "zh" else " ") + shape_name(t.shape, lang)


def count_value(things, lang):
    """Names the things before it gives their number."""
    return {"shapes": [name(t, lang) for t in things], "count": len(things)}


def boxes_value(things, size, lang):
    return [{"label": name(t, lang), "box": thousandths(pictures.box_of(t, size))} for t in things]


def _ask(rng, table, lang, thought, value):
    question = expand(rng, rng.choice(table[lang]).replace("{json}", JSON[lang]))
    return QA("json", lang, question[:1].upper() + question[1:], thought, dumps(value))


def read(rng, code, lang):
    return _ask(rng, READ, lang, spelled(code, lang), {"text": code})


def ask(rng, things, size, lang):
    table, value = rng.choices([(SHAPES, shapes_value(things, lang)), (COUNT, count_value(things, lang)),
                                (BOXES, boxes_value(things, size, lang))], [4, 2, 3])[0]
    return _ask(rng, table, lang, sight(things, lang), value)
