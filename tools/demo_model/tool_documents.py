"""Documents in which tools are offered: first turns that call one, and second turns with its result."""

import box_questions
import documents
import everyday
import json_questions
import pictures
import text_questions
import tokens
import tool_questions
from documents import OTHER, Material, branch, document

LARGE = 672  # pixels of a side of a picture with small labels


def labelled_scene(rng, fonts):
    """-> (large picture, its things, at least one with a label)."""
    while True:
        things = documents.make_things(rng)
        tool_questions.add_labels(rng, things)
        if any(t.label for t in things):
            break
    side = round(LARGE * rng.uniform(0.85, 1.2))
    image = pictures.draw_scene(rng, things, (side, side), antialias=0.0)
    pictures.draw_labels(rng, fonts, image, things)
    return image, things


def blurred_box(rng, t, size):
    """A box about as good as the model's own."""
    return [min(1000, max(0, v + rng.randint(-2, 2) * box_questions.STEP))
            for v in box_questions.thousandths(pictures.box_of(t, size))]


def close_up(rng, fonts, size):
    """A thing with characters on it as the zoom shows it, with questions about the characters."""
    image, things = labelled_scene(rng, fonts)
    t = rng.choice([t for t in things if t.label])
    shown = documents.finish(rng, tool_questions.zoomed(image, blurred_box(rng, t, image.size)), size)

    def ask(lang):
        reader = text_questions.read if rng.random() < 0.8 else json_questions.read
        return reader(rng, t.label, lang)
    return Material("Picture", [[shown]], ask)


def _call_turn(rng, qa):
    """A past turn with a call; clients may give its thinking back."""
    thought = ["<think>", "\n" + qa.thought + "\n", "</think>", "\n"] if rng.random() < 0.15 else []
    return ["\nAssistant: ", *thought, *qa.answer, tokens.END]


def _no_sum(rng, lang):
    """A question without a picture that is no calculation."""
    while True:
        qa = everyday.text_question(rng, lang)
        if qa.category in ("chat", "unknown") and not any(c.isdigit() for c in qa.question):
            return qa


def _spoken(rng, qa):
    if rng.random() < 0.3:
        qa.question = everyday.casual(rng, qa.question, qa.lang)
    return qa


def _calculation(rng, tok, lang, think):
    """One branch about a calculation: the call, the answer from its result, or a call in a later turn."""
    qa, expression = tool_questions.ask_calculator(rng, lang)
    _spoken(rng, qa)
    draw = rng.random()
    if draw < 0.5:
        return branch(tok, [qa.question], qa, think)
    past = [qa.question, *_call_turn(rng, qa), *tokens.result_parts(tool_questions.result_text(rng, expression))]
    answer = tool_questions.answer_from_result(qa.lang, qa.question, expression)
    if draw < 0.85:
        return branch(tok, past, answer, think)
    later = tool_questions.ask_calculator(rng, lang)[0] if rng.random() < 0.7 else _no_sum(rng, lang)
    return branch(tok, [*past, "\nAssistant: ", answer.answer, tokens.END, "User: ", later.question], later, think)


def calculator_document(rng, tok):
    """Up to six independent questions after one list of tools."""
    wanted = rng.choice([["calculator"], ["calculator"], ["calculator", "zoom"], ["zoom"]])
    lang = rng.choice(["en", "zh"])
    branches = []
    for _ in range(6):
        language = lang if rng.random() < 0.8 else OTHER[lang]
        think = rng.random() < 0.35
        if "calculator" not in wanted:
            qa = everyday.text_question(rng, language)
        elif rng.random() < 0.78:
            branches.append(_calculation(rng, tok, language, think))
            continue
        else:
            qa = _no_sum(rng, language)
        branches.append(branch(tok, [qa.question], qa, think))
    prefix = tok.encode(*documents.head_parts(rng, tool_questions.offer(rng, wanted)))
    return document(tok, [], prefix, [], branches)


def _question_with_zoom(rng, things, size, lang, wanted):
    """A question about a picture while the tools `wanted` are offered."""
    draw = rng.random()
    if draw < 0.6 and "zoom" in wanted:
        return _spoken(rng, tool_questions.ask_zoom(rng, things, size, lang)[0])
    if draw < 0.7 and "calculator" in wanted:
        return tool_questions.ask_calculator(rng, lang)[0]
    return everyday.vary(rng, documents.ask_about_picture(rng, things, size, lang))


def zoom_call_document(rng, tok, fonts, size):
    """A picture with small labels and up to six questions, half of which want the zoom."""
    image, things = labelled_scene(rng, fonts)
    wanted = rng.choice([["zoom"], ["zoom"], ["zoom"], ["calculator", "zoom"], ["calculator", "zoom"], ["calculator"]])
    parts, runs, frames = documents.media_of(Material("Picture", [[documents.finish(rng, image, size)]], None))
    prefix = tok.encode(*documents.head_parts(rng, tool_questions.offer(rng, wanted)), *parts[0])
    branches = []
    for _ in range(6):
        qa = _question_with_zoom(rng, things, image.size, rng.choice(["en", "zh"]), wanted)
        branches.append(branch(tok, [qa.question], qa, rng.random() < 0.35))
    return document(tok, frames, prefix, runs, branches)


def zoom_result_document(rng, tok, fonts, size):
    """The turn after the zoom: its result is a second picture, from which the characters are read."""
    image, things = labelled_scene(rng, fonts)
    lang = rng.choice(["en", "zh"])
    call, t = tool_questions.ask_zoom(rng, things, image.size, lang)
    _spoken(rng, call)
    box = blurred_box(rng, t, image.size)
    call.answer = tokens.call_parts("zoom", f'{{"box": {box}}}')
    shown = [documents.finish(rng, i, size) for i in (image, tool_questions.zoomed(image, box))]
    parts, runs, frames = documents.media_of(Material("Picture", [[i] for i in shown], None))
    wanted = rng.choice([["zoom"], ["zoom"], ["calculator", "zoom"]])
    head = documents.head_parts(rng, tool_questions.offer(rng, wanted))
    result = tokens.result_parts(*parts[1])
    prefix = tok.encode(*head, *parts[0], call.question, *_call_turn(rng, call), *result)
    answer = tool_questions.answer_from_zoom(lang, call.question, t)
    branches = [branch(tok, [], answer, think) for think in (False, True)]
    for _ in range(2):
        later = _question_with_zoom(rng, things, image.size, lang, wanted)
        past = ["\nAssistant: ", answer.answer, tokens.END, "User: ", later.question]
        branches.append(branch(tok, past, later, rng.random() < 0.35))
    return document(tok, frames, prefix, runs, branches)
