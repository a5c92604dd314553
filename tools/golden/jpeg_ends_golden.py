#!/usr/bin/env python3
"""Writes tests/golden/media/jpeg_ends.txt: what Pillow makes of JPEGs whose end is broken.

    python3 -m venv venv && venv/bin/pip install pillow==13.0.0 numpy xxhash
    venv/bin/python tools/golden/jpeg_ends_golden.py tests/golden/media

One case a line, of a picture that media_golden.py has written:
    <name> <bytes that are kept of it> <bytes that follow, in hex, or -> <XXH3-128 of the RGB bytes, or invalid>
"""

import pathlib
import sys

import xxhash
from media_golden import reference

NAMES = ("jpeg_420.jpg", "jpeg_progressive.jpg", "jpeg_restart.jpg", "jpeg_grey.jpg", "jpeg_cmyk.jpg")
END = b"\xff\xd9"
TAILS = (b"", END, END + b"garbage" * 9, END + b"\xff\xd8", b"garbage" * 9, bytes(64), b"\xff", b"\xff\xff\xff" + END,
         b"\xff\xd0", b"\xff\xd8", b"\xff\xfe\1\0cut", b"\xff\xe1\0\x08a part", b"\r\n")


def verdict(data):
    try:
        return xxhash.xxh3_128_hexdigest(reference(data).tobytes())
    except OSError:
        return "invalid"


def main(folder):
    lines = []
    for name in NAMES:
        whole = (folder / name).read_bytes()
        for kept in (len(whole), len(whole) - 1, len(whole) - 2, len(whole) - 3, len(whole) - 20, len(whole) * 2 // 3):
            for tail in TAILS:
                result = verdict(whole[:kept] + tail)
                lines.append(f"{name} {kept} {tail.hex() or '-'} {result}\n")
    (folder / "jpeg_ends.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
