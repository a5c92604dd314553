#!/usr/bin/env python3
"""Writes tests/golden/media: pictures, and what Pillow makes of them.

    python3 -m venv venv && venv/bin/pip install 'pillow<13' numpy xxhash
    venv/bin/python tools/golden/media_golden.py tests/golden/media

expected.txt has one line per picture and one per resize of it:
    picture <name> <width> <height> <XXH3-128 of the RGB bytes>
    resize <name> <width> <height> <XXH3-128 of the RGB bytes>
"""

import io
import pathlib
import sys

import numpy as np
import xxhash
from PIL import Image, ImageOps
from media_pictures import pictures


def high_bytes(image):
    """16-bit grey scaled by 1/256, as ERNIE's training data were; Pillow itself would clip it."""
    samples = np.asarray(image)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    key = image.info.get("transparency")
    if key is not None:
        grey.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    return grey


def reference(data):
    """The first frame, upright, alpha over white, as RGB."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = high_bytes(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, (255, 255, 255))
        image.paste(rgba, mask=rgba.getchannel("A"))
    return image.convert("RGB")


def resized_sizes(width, height):
    """Up, down, each axis alone, opposite ways, to multiples of 28, to one pixel."""
    sizes = {
        (width * 2 + 1, height * 3 - 1),
        (max(width * 3 // 8, 1), max(height * 2 // 7, 1)),
        (width, height * 2 + 3),
        (max(width // 3, 1), height),
        (width * 2, max(height // 2, 1)),
        (max(width // 28, 1) * 28, max(round(height / 28), 1) * 28),
        (1, 1),
    }
    return sorted(sizes)


def line(kind, name, image):
    digest = xxhash.xxh3_128_hexdigest(image.tobytes())
    return f"{kind} {name} {image.width} {image.height} {digest}\n"


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, data in pictures():
        (folder / name).write_bytes(data)
        image = reference(data)
        lines.append(line("picture", name, image))
        for size in resized_sizes(*image.size):
            lines.append(line("resize", name, image.resize(size, Image.Resampling.BICUBIC)))
    (folder / "expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
