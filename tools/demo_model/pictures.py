"""Draws the pictures: coloured shapes on a 3 x 3 grid, printed characters, short clips."""

import dataclasses
import glob
import io
import math
import os

from PIL import Image, ImageDraw, ImageFont

import words

# File names of the Debian packages fonts-dejavu-core, fonts-liberation, fonts-roboto-unhinted.
FONT_FILES = [
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf",
    "LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf", "LiberationSerif-Regular.ttf",
    "LiberationSerif-Bold.ttf", "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf",
    "Roboto-Regular.ttf", "Roboto-Bold.ttf",
]
STAMP_FONT = "Roboto-Regular.ttf"


class Fonts:
    """Finds FONT_FILES below a folder and caches them by size."""

    def __init__(self, folder):
        found = {os.path.basename(p): p
                 for p in sorted(glob.glob(os.path.join(folder, "**", "*.ttf"), recursive=True))}
        missing = [name for name in FONT_FILES if name not in found]
        if missing:
            raise SystemExit(f"fonts missing below {folder}: {missing}; install the Debian packages "
                             "fonts-dejavu-core fonts-liberation fonts-roboto-unhinted")
        self._path = found
        self._cache = {}

    def get(self, name, size):
        key = (name, size)
        if key not in self._cache:
            self._cache[key] = ImageFont.truetype(
                self._path[name], size, layout_engine=ImageFont.Layout.BASIC)
        return self._cache[key]


@dataclasses.dataclass
class Thing:
    shape: str
    colour: str
    cell: int  # 0..8, row by row
    radius: float  # as a fraction of the cell's shorter side, 0.2..0.46
    dx: float = 0.0  # offset of the centre as a fraction of the cell
    dy: float = 0.0
    form: float = 0.0  # -1..1: how thick a star or a cross is
    turn: float = 0.0  # radians by which a star or a cross is turned
    label: str = ""  # small characters printed on it

    def key(self):
        return (self.shape, self.colour, self.cell)


def _turned(points, cx, cy, turn):
    c, s = math.cos(turn), math.sin(turn)
    return [(cx + c * (x - cx) - s * (y - cy), cy + s * (x - cx) + c * (y - cy)) for x, y in points]


def _polygon(thing, cx, cy, r):
    shape, form = thing.shape, thing.form
    if shape == "square":
        s = r * 0.88
        return [(cx - s, cy - s), (cx + s, cy - s), (cx + s, cy + s), (cx - s, cy + s)]
    if shape == "diamond":
        return [(cx, cy - 1.12 * r), (cx + 0.8 * r, cy), (cx, cy + 1.12 * r), (cx - 0.8 * r, cy)]
    if shape == "triangle":
        return [(cx, cy - r), (cx + r, cy + 0.8 * r), (cx - r, cy + 0.8 * r)]
    if shape == "star":
        out = []
        for i in range(10):
            rr = 1.1 * r if i % 2 == 0 else (0.45 + 0.07 * form) * r
            a = -math.pi / 2 + i * math.pi / 5
            out.append((cx + rr * math.cos(a), cy + rr * math.sin(a)))
        return _turned(out, cx, cy, thing.turn)
    if shape == "cross":
        t = (0.34 + 0.08 * form) * r
        out = [(cx - t, cy - r), (cx + t, cy - r), (cx + t, cy - t), (cx + r, cy - t),
               (cx + r, cy + t), (cx + t, cy + t), (cx + t, cy + r), (cx - t, cy + r),
               (cx - t, cy + t), (cx - r, cy + t), (cx - r, cy - t), (cx - t, cy - t)]
        return _turned(out, cx, cy, thing.turn)
    out = []  # heart
    for i in range(40):
        a = 2 * math.pi * i / 40
        x = 16 * math.sin(a) ** 3
        y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
        out.append((cx + x * r / 16, cy - (y + 2.5) * r / 15))
    return out


def _centre_and_radius(thing, width, height):
    cw, ch = width / 3, height / 3
    centre = ((thing.cell % 3 + 0.5 + thing.dx) * cw, (thing.cell // 3 + 0.5 + thing.dy) * ch)
    return centre, thing.radius * min(cw, ch)


def box_of(thing, size):
    """The box around a thing in a picture of this size, as fractions: left, top, right, bottom."""
    width, height = size
    (cx, cy), r = _centre_and_radius(thing, width, height)
    if thing.shape in ("circle", "ring"):
        corners = [(cx - r, cy - r), (cx + r, cy + r)]
    else:
        corners = _polygon(thing, cx, cy, r)
    xs, ys = zip(*corners)
    return min(xs) / width, min(ys) / height, max(xs) / width, max(ys) / height


def _draw_thing(draw, thing, rgb, background, width, height, centre=None):
    usual, r = _centre_and_radius(thing, width, height)
    cx, cy = centre or usual
    if thing.shape == "circle":
        draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=rgb)
    elif thing.shape == "ring":
        draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=rgb)
        q = r * 0.55
        draw.ellipse([cx - q, cy - q, cx + q, cy + q], fill=background)
    else:
        draw.polygon(_polygon(thing, cx, cy, r), fill=rgb)


def jitter(rng, rgb, amount):
    return tuple(min(255, max(0, c + rng.randint(-amount, amount))) for c in rgb)


def draw_scene(rng, things, size, background=None, tint=None, centres=None, antialias=0.7):
    """A picture of `things`, size = (width, height). tint: {colour name: RGB} to reuse over frames;
    antialias: how often edges are smooth."""
    width, height = size
    scale = 2 if rng.random() < antialias else 1
    if background is None:
        background = jitter(rng, rng.choice(words.BACKGROUNDS), 4)
    image = Image.new("RGB", (width * scale, height * scale), background)
    draw = ImageDraw.Draw(image)
    for i, t in enumerate(things):
        rgb = (tint or {}).get(t.colour) or jitter(rng, words.COLOURS[t.colour][0], 12)
        centre = None
        if centres is not None and centres[i] is not None:
            centre = (centres[i][0] * width * scale, centres[i][1] * height * scale)
        _draw_thing(draw, t, rgb, background, width * scale, height * scale, centre)
    return image.reduce(2) if scale == 2 else image


LABELLED = ("circle", "square", "triangle", "star", "diamond", "heart")  # their middle has room


def draw_labels(rng, fonts, image, things):
    """Prints each thing's label on its middle, small: most are only readable close up."""
    draw = ImageDraw.Draw(image)
    for t in things:
        (cx, cy), r = _centre_and_radius(t, *image.size)
        light = sum(words.COLOURS[t.colour][0]) > 380
        font = fonts.get(rng.choice(FONT_FILES), max(6, round(rng.uniform(0.3, 0.4) * r)))
        draw.text((cx, cy), t.label, font=font, fill=(10, 10, 10) if light else (250, 250, 250), anchor="mm")


def draw_lines(rng, fonts, lines, size, min_px=20, max_px=96):
    """Prints `lines` (top to bottom) in one font; the sizes fit the picture. -> (image, colour)."""
    width, height = size
    if rng.random() < 0.8:
        background = jitter(rng, rng.choice(words.BACKGROUNDS), 4)
        colour = rng.choice([c for c in words.COLOURS if c not in ("yellow", "pink")]
                            if rng.random() < 0.6 else ["black"])
    else:
        background = jitter(rng, rng.choice(words.DARK_BACKGROUNDS), 8)
        colour = rng.choice(["white", "yellow", "pink", "orange"])
    rgb = (250, 250, 250) if colour == "white" else jitter(rng, words.COLOURS[colour][0], 12)
    image = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(image)
    name = rng.choice(FONT_FILES)
    longest = max(lines, key=len)
    band = height / len(lines)
    probe = fonts.get(name, 40)
    room = min((width - 12) / (max(probe.getlength(s) for s in lines) / 40), (band - 6) / 0.95)
    top = max(min_px, min(int(room), max_px))
    if top * probe.getlength(longest) / 40 > width:
        top = int(room)
    low = min(min_px, top)
    px = rng.randint(low, top)
    font = fonts.get(name, px)
    spread = rng.random()
    for i, line in enumerate(lines):
        left, upper, right, lower = font.getbbox(line)
        w, h = right - left, lower - upper
        x = 4 + rng.random() * max(0, width - 8 - w)
        y = i * band + 2 + (0.5 + (rng.random() - 0.5) * spread) * max(0, band - 4 - h)
        draw.text((x - left, y - upper), line, font=font, fill=rgb)
    return image, colour


def stamp_time(fonts, image, seconds):
    """The time stamp that ERNIE-4.5-VL's video processor draws on a frame."""
    px = int(0.1 * min(image.size))
    text = f"time: 00:00:{seconds:05.2f}"
    ImageDraw.Draw(image).text((0, 0), text, font=fonts.get(STAMP_FONT, px), fill=(0, 0, 0),
                               stroke_width=int(0.1 * px), stroke_fill=(255, 255, 255))


def as_jpeg(image, quality):
    """The picture after JPEG compression."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
