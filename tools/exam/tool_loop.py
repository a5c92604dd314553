"""The tools of the exam and one round with them: a question, the call, the tool's result, the answer."""

import ast
import base64
import io
import json
import operator

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def _value(node):
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    raise ValueError("not an arithmetic expression")


def calculator(question, expression):
    value = round(_value(ast.parse(expression, mode="eval").body), 4)
    return [{"type": "text", "text": str(int(value)) if value == int(value) else str(value)}]


def zoom(question, box):
    """The square around a box of the question's picture, enlarged to 336 pixels. Needs Pillow."""
    from PIL import Image
    url = next(part["image_url"]["url"] for part in question["content"] if part["type"] == "image_url")
    image = Image.open(io.BytesIO(base64.b64decode(url.split("base64,")[1]))).convert("RGB")
    width, height = image.size
    left, top, right, bottom = (v / 1000 * side for v, side in zip(box, (width, height) * 2, strict=True))
    half, cx, cy = max(right - left, bottom - top, 8) / 2, (left + right) / 2, (top + bottom) / 2
    part = (max(0, cx - half), max(0, cy - half), min(width, cx + half), min(height, cy + half))
    buffer = io.BytesIO()
    image.resize((336, 336), Image.Resampling.BICUBIC, box=part).save(buffer, "PNG")
    return [{"type": "image_url", "image_url": {
        "url": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()}}]


def result_of(question, calls):
    """calls: [(name, text of the arguments)] -> (content of the tool's message, error). The category names
    the tool that is wanted, once."""
    if len(calls) != 1 or calls[0][0] != question["category"]:
        return None, f"wanted one call of {question['category']}, found {[name for name, _ in calls]}"
    name, arguments = calls[0]
    try:
        return {"calculator": calculator, "zoom": zoom}[name](question, **json.loads(arguments)), None
    except (ValueError, TypeError, KeyError, SyntaxError, ZeroDivisionError) as e:
        return None, f"{name}({arguments}): {e}"
