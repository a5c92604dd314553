"""How an answer is marked and how marks are printed."""

import json
import math
import re

GROUPS = {  # category of a question -> line of the table
    "describe": "describe", "colour": "colour", "shape": "shape", "position": "position", "count": "count",
    "exists": "yes or no", "compare": "compare", "read_1_4": "read 1-4", "read_5_6": "read 5-6",
    "lines": "read lines", "pair": "two pictures", "clip": "clip", "sum": "sums", "unknown": "does not know",
    "chat": "small talk", "everyday_en": "everyday English", "everyday_zh": "everyday Chinese",
    "star_cross": "star or cross", "box": "boxes", "point": "points", "json": "JSON",
    "calculator": "calculator", "zoom": "zoom",
}
BOX_IOU = 0.7  # how well a box must fit (intersection over union)
POINT_DISTANCE = 30  # thousandths of a side that a point may lie off


def normal(text):
    """Case, spaces and end marks do not count."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".。!！").lower()


def iou(a, b):
    """Intersection over union of two boxes [x1, y1, x2, y2]."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0, width) * max(0, height)
    areas = sum(max(0, x2 - x1) * max(0, y2 - y1) for x1, y1, x2, y2 in (a, b))
    return common / (areas - common) if areas > common else 0.0


def is_numbers(value, count):
    return isinstance(value, list) and len(value) == count and all(isinstance(v, (int, float)) for v in value)


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def alike(found, wanted):
    """Equal JSON, but for boxes, which must fit."""
    if is_numbers(wanted, 4):
        return is_numbers(found, 4) and iou(found, wanted) >= BOX_IOU
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(alike, found, wanted))
    if isinstance(wanted, dict):
        return (isinstance(found, dict) and list(found) == list(wanted)
                and all(alike(found[k], wanted[k]) for k in wanted))
    return found == wanted


def right(question, content):
    if question["category"] in ("box", "json"):
        return alike(parsed(content), parsed(question["answer"]))
    if question["category"] == "point":
        found, wanted = parsed(content), parsed(question["answer"])
        return is_numbers(found, 2) and max(abs(f - w) for f, w in zip(found, wanted)) <= POINT_DISTANCE
    return normal(content) == normal(question["answer"])


def chinese(text):
    return any("\u4e00" <= ch <= "\u9fff" for ch in text)


def well_formed(question, content, reasoning):
    """Thinking on: some reasoning, then an answer; off: no reasoning. The language is the question's
    (an answer of letters and digits alone belongs to both)."""
    if not content.strip() or "<think>" in content or "</think>" in content:
        return False
    if bool((reasoning or "").strip()) != question["thinking"]:
        return False
    texts = [content] + ([reasoning] if question["thinking"] and question["category"] != "sum" else [])
    if question["category"] in ("box", "point", "json", "calculator", "zoom"):
        texts = texts[1:]  # numbers, characters and keys are of no language
    plain = re.compile(r"[A-Z0-9\s]*\Z")
    return all(plain.match(t) or chinese(t) == (question["lang"] == "zh") for t in texts)


def wilson(good, n, z=1.96):
    """95 % Wilson score interval (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    p, d = good / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return middle - half, middle + half


def table(results):
    """results: list of (question, content, reasoning) -> Markdown lines."""
    rows = {}
    for question, content, reasoning in results:
        row = rows.setdefault(GROUPS[question["category"]], [0, 0])
        row[0] += right(question, content)
        row[1] += 1
    format_row = [sum(well_formed(*r) for r in results), len(results)]
    total = [sum(r[i] for r in rows.values()) for i in (0, 1)]
    lines = ["| category | right | of | accuracy | 95 % interval |", "|---|---:|---:|---:|---|"]
    ordered = [(name, rows[name]) for name in dict.fromkeys(GROUPS.values()) if name in rows]
    for name, (good, n) in ordered + [("all answers", total), ("format", format_row)]:
        lo, hi = wilson(good, n)
        lines.append(f"| {name} | {good} | {n} | {100 * good / n:.1f} % | {100 * lo:.1f} to {100 * hi:.1f} % |")
    return lines
