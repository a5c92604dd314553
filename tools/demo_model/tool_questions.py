"""Questions that want a tool: a calculator for sums too hard, a zoom for characters too small."""

import re

import box_questions
import pictures
import text_only
import text_questions
import tokens
from qa import QA, expand
from words import the_thing

CALCULATOR_TEXTS = ["", "Calculator", "A calculator.", "Evaluates an arithmetic expression.",
                    "Calculates the value of an expression.", "Computes an arithmetic expression such as 12*34.",
                    "Evaluate a math expression and return its value.", "计算器", "计算算式的值。", "计算一个数学表达式。"]
ZOOM_TEXTS = ["", "Zoom", "Zooms in on a box.", "Enlarges a part of the picture.",
              "Zoom in on a region of the image, given as a box in thousandths.",
              "Crops the picture to box = [x1, y1, x2, y2] of 1000 and enlarges it.", "放大图片的一部分。", "放大框内的区域。"]
OTHER_TOOLS = [  # name, description, parameter
    ("weather", "Tells the weather in a city.", "city"), ("search", "Searches the web.", "query"),
    ("clock", "Tells the time.", "zone"), ("translate", "Translates a text.", "text"), ("send_mail", "", "to"),
    ("get_stock_price", "Price of a share", "symbol"),
]
EXPRESSION_TEXTS = ["", "", "", "the expression", "e.g. 12*34", "An arithmetic expression", "算式"]
BOX_TEXTS = ["", "", "", "[x1, y1, x2, y2]", "x1, y1, x2, y2 in thousandths of the picture", "The box to zoom in on"]

OPERATORS = {  # operator: how questions say it
    "+": {"en": ["+", " + ", " plus ", " + "], "zh": ["+", "加", " + ", "加上", " 加 "]},
    "-": {"en": ["-", " - ", " minus ", " - "], "zh": ["-", "减", " - ", "减去", " 减 "]},
    "*": {"en": ["*", " * ", " times ", " multiplied by ", " x ", " × "], "zh": ["*", "乘", "乘以", "×", " × ", " 乘以 "]},
    "/": {"en": ["/", " / ", " divided by ", " ÷ ", " over "], "zh": ["/", "除以", "÷", " ÷ ", " 除以 "]},
}
CALCULATE = {
    "en": ["What is {e}?", "{e}", "{e} = ?", "{e}=?", "{e} =",
           "(Calculate|Compute|Work out|Evaluate|Solve) {e}( please| for me|).", "How much is {e}?",
           "(Can|Could) you (calculate|compute|work out) {e}?", "What's {e}?",
           "(Tell me|Give me|Find) (the result of |the value of |){e}.", "What do you get for {e}?",
           "(Use|Ask) (the|your) calculator: {e}", "I need to know {e}.", "What does {e} (equal|make|give)?",
           "{e} equals?"],
    "zh": ["{e}等于(多少|几)？", "{e}是多少？", "{e}=？", "{e} = ?", "{e}=", "{e}", "(请|帮我|)(计算|算一下|算算|算|求){e}(的结果|的值|)。",
           "(请|)(用计算器|用工具)(算|计算){e}。", "{e}(的结果|)(是|等于)(多少|几)？", "你能算{e}吗？", "{e}得多少？"],
}
CALCULATOR_THOUGHT = {"en": "I use the calculator.", "zh": "我用计算器。"}
RESULT_THOUGHT = {"en": "The calculator says {r}.", "zh": "计算器的结果是{r}。"}

ZOOM = {
    "en": ["(Zoom in on|Zoom in to|Zoom to|Enlarge|Magnify|Take a closer look at|Look closely at)"
           " {thing}( and read (it|the label|the text|what it says)|).",
           "What (is|does it say|characters are|text is) (written|printed|) on {thing}?", "What does {thing} say?",
           "(Read|Tell me|What is) the (label|text|writing|characters|small text) (on|of|in) {thing}.",
           "(Read|Zoom and read) {thing}.", "(Which|What) (letters|characters) (are|stand) on {thing}?",
           "(Can|Could) you (zoom in on|read|magnify) {thing}?", "What is the label of {thing}?"],
    "zh": ["(请|)(放大|放大看看|仔细看|看清|看清楚){thing}(，读出上面的字|，读一下上面的文字|上的字|上写了什么|)。",
           "{thing}(上|上面|里)(写|印)(了|的是|着)(什么|什么字|哪些字符)？", "(读出|读一下|读|念出|看看){thing}(上|上面)的(字|文字|字符|标签|小字)。",
           "{thing}上(有|是)(什么|哪些)(字|文字|字符)？", "{thing}的标签(是什么|写了什么)？"],
}
ZOOM_THOUGHT = {"en": "I zoom in on {thing}.", "zh": "我放大{thing}。"}


def _declaration(rng, name, text, parameter, schema, required):
    function = {"name": name}
    if text:
        function["description"] = text
    parameters = {"type": "object", "properties": {parameter: schema}}
    if required:
        parameters["required"] = [parameter]
    if rng.random() < 0.15:
        parameters["additionalProperties"] = False
    function["parameters"] = parameters
    return {"type": "function", "function": function}


def _with_text(schema, text):
    return {**schema, "description": text} if text else schema


def calculator(rng):
    return _declaration(rng, "calculator", rng.choice(CALCULATOR_TEXTS), "expression",
                        _with_text({"type": "string"}, rng.choice(EXPRESSION_TEXTS)), rng.random() < 0.7)


def zoom(rng):
    schema = {"type": "array"}
    if rng.random() < 0.8:
        schema["items"] = {"type": rng.choice(["integer", "integer", "number"])}
    if rng.random() < 0.2:
        schema |= {"minItems": 4, "maxItems": 4}
    return _declaration(rng, "zoom", rng.choice(ZOOM_TEXTS), "box", _with_text(schema, rng.choice(BOX_TEXTS)),
                        rng.random() < 0.7)


def other(rng):
    name, text, parameter = rng.choice(OTHER_TOOLS)
    return _declaration(rng, name, text, parameter, {"type": "string"}, rng.random() < 0.5)


def offer(rng, wanted):
    """A list of tools with the wanted ones ("calculator", "zoom") and sometimes another."""
    tools = [calculator(rng) if name == "calculator" else zoom(rng) for name in wanted]
    if rng.random() < 0.12:
        tools.append(other(rng))
    rng.shuffle(tools)
    return tools


def held_out(operators, numbers):
    """One calculation in ten is kept for the exam, and so are the exam's small sums."""
    is_small_sum = operators == ["+"] and max(numbers) < 100
    return sum(numbers) % 10 == 7 or (is_small_sum and text_only.held_out_pair(*numbers))


def make_expression(rng, exam):
    """-> (operators, numbers) of two numbers of up to four digits, or of three small ones."""
    while True:
        if rng.random() < 0.2:
            numbers = [rng.randrange(1, 100) for _ in range(3)]
        else:
            numbers = [rng.randrange(1, 10 ** rng.choice([1, 2, 2, 3, 3, 4])) for _ in range(2)]
        operators = [rng.choice("+-*/") for _ in numbers[1:]]
        if held_out(operators, numbers) == exam:
            return operators, numbers


def expression_text(operators, numbers):
    return str(numbers[0]) + "".join(f"{o}{n}" for o, n in zip(operators, numbers[1:]))


def spoken(rng, operators, numbers, lang):
    out, style = str(numbers[0]), rng.randrange(20)
    for o, n in zip(operators, numbers[1:]):
        says = OPERATORS[o][lang]
        out += says[style % len(says)] + str(n)
    return out


def value_text(expression):
    """What a calculator answers: a whole number, or at most four decimals."""
    value = round(eval(expression, {"__builtins__": {}}), 4)  # of digits and operators made above
    return str(int(value)) if value == int(value) else str(value)


def ask_calculator(rng, lang, exam=False):
    """-> (QA whose answer is the call, expression). A bare expression counts as English."""
    operators, numbers = make_expression(rng, exam)
    expression = expression_text(operators, numbers)
    question = expand(rng, rng.choice(CALCULATE[lang])).format(e=spoken(rng, operators, numbers, lang))
    lang = "zh" if lang == "zh" and re.search("[\u4e00-\u9fff]", question) else "en"
    call = tokens.call_parts("calculator", f'{{"expression": "{expression}"}}')
    return QA("calculator", lang, question, CALCULATOR_THOUGHT[lang], call), expression


def result_text(rng, expression):
    """How a calculator may write its result."""
    value = value_text(expression)
    return rng.choice([
        value, value, value, f"{expression}={value}", f"{expression} = {value}", f'{{"result": {value}}}',
        f'{{"result":{value}}}', f'{{"value": {value}}}', f"= {value}", f"result: {value}", f"{value}\n"])


def answer_from_result(lang, question, expression):
    value = value_text(expression)
    return QA("calculator", lang, question, RESULT_THOUGHT[lang].format(r=value), value)


def add_labels(rng, things):
    """Labels for most things with room for one; the others stay without."""
    for t in things:
        if t.shape in pictures.LABELLED and rng.random() < 0.9:
            t.label = text_questions.make_code(rng, rng.choice([1, 2, 2, 3]))


def ask_zoom(rng, things, size, lang):
    """-> (QA whose answer is the call, the thing zoomed in on: mostly one with a label)."""
    t = rng.choice([t for t in things if t.label or rng.random() < 0.2] or things)
    question = expand(rng, rng.choice(ZOOM[lang])).format(thing=box_questions.name_in(rng, things, t, lang))
    question = question.replace("  ", " ")
    call = tokens.call_parts("zoom", f'{{"box": {box_questions.box_text(t, size)}}}')
    return QA("zoom", lang, question, ZOOM_THOUGHT[lang].format(thing=the_thing(t.colour, t.shape, lang)), call), t


def answer_from_zoom(lang, question, t):
    if not t.label:
        answer = "上面没有字。" if lang == "zh" else "There is nothing written on it."
        return QA("zoom", lang, question, answer, answer)
    return QA("zoom", lang, question, text_questions.spelled(t.label, lang), t.label)


ZOOMED = 336  # pixels of a side of the zoom's result


def zoomed(image, box):
    """The tool: the square around a box (in thousandths) of a picture, enlarged."""
    width, height = image.size
    left, top, right, bottom = (v / 1000 * side for v, side in zip(box, (width, height, width, height)))
    half = max(right - left, bottom - top, 8) / 2
    cx, cy = (left + right) / 2, (top + bottom) / 2
    return image.resize((ZOOMED, ZOOMED), pictures.Image.Resampling.BICUBIC,
                        box=(max(0, cx - half), max(0, cy - half), min(width, cx + half), min(height, cy + half)))
