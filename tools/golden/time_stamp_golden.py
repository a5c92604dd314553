#!/usr/bin/env python3
"""Writes tests/golden/media/time_stamps.txt: what Pillow makes of times on frames of a video.

    python3 -m venv venv && venv/bin/pip install 'pillow<12' numpy xxhash
    apt-get install fonts-roboto-unhinted libfribidi0
    venv/bin/python tools/golden/time_stamp_golden.py tests/golden/media/time_stamps.txt

One line for each frame:
    <width and height of the video's first frame> <width and height of this frame> <seconds> <XXH3-128 of its RGB bytes>

Pillow 11 is the last with FreeType 2.13; see src/media/time_stamp.h.
"""

import pathlib
import sys

import numpy as np
import xxhash
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf"
SECONDS = (0, 3.5, 59.999, 61, 3599.995, 3661.25, 360000)
TIES = (0.125, 0.375, 2.675, 7199.625)  # in the third decimal, or nearly so


def frame(width, height):
    """Every value of a channel, and no two channels alike; the test makes the same."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 3 + y, x + y * 5, x * 7 + y * 2], -1).astype(np.uint8))


def text(seconds):
    hours = 0
    while seconds >= 3600:
        hours += 1
        seconds -= 3600
    minutes = 0
    while seconds >= 60:
        minutes += 1
        seconds -= 60
    return f"time: {hours:02d}:{minutes:02d}:{seconds:05.02f}"


def stamped(size, image, seconds):
    font_size = int(0.1 * min(size))
    if font_size > 0:
        font = ImageFont.truetype(FONT, font_size, layout_engine=ImageFont.Layout.RAQM)
        ImageDraw.Draw(image).text((0, 0), text(seconds), (0, 0, 0), font, stroke_width=int(0.1 * font_size),
                                   stroke_fill=(255, 255, 255))
    return image


def cases():
    """(size of the first frame, size of the frame, seconds)"""
    for side in (9, 10, 30, 60, 75, 99, 100, 117, 131, 240, 361, 480, 720, 1080, 1440, 2160):
        size = (side * 16 // 9 + 1, side)
        for seconds in SECONDS:
            yield size, (size[0], min(side, 300)), seconds  # the text is not higher
    for seconds in TIES:
        yield (320, 240), (320, 240), seconds
    yield (481, 853), (481, 853), 12.34  # upright
    for size in ((101, 640), (640, 17), (1, 1), (53, 1), (1, 53)):  # cut the text
        yield (640, 480), size, 3661.25


def main(path):
    with open(path, "w") as out:
        for size, frame_size, seconds in cases():
            image = stamped(size, frame(*frame_size), seconds)
            digest = xxhash.xxh3_128_hexdigest(image.tobytes())
            print(*size, *frame_size, seconds, digest, file=out)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
