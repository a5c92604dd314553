#!/usr/bin/env python3
"""Writes tests/golden/stills: pictures in BMP, TIFF, AVIF and HEIC, and what Pillow makes of them.

    python3 -m venv venv && venv/bin/pip install pillow==13.0.0 pillow_heif==1.8.1 numpy xxhash
    venv/bin/python tools/golden/still_golden.py tests/golden/stills

expected.txt has one line per picture:
    picture <name> <width> <height> <XXH3-128 of the RGB bytes>
    near <name> <width> <height> <largest difference of a sample from those of <name>.png>
The second is for what libheif 1.15 converts to RGB otherwise than the newer one of pillow_heif.
"""

import pathlib
import sys

import pillow_heif
from media_golden import line, reference
from still_pictures import pictures

pillow_heif.register_heif_opener()

NEAR = {"heic_420.heic": 1, "heic_alpha.heic": 1, "heic_10bit.heic": 2}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, data in pictures():
        (folder / name).write_bytes(data)
        image = reference(data)
        if name in NEAR:
            image.save(folder / f"{name}.png", optimize=True)
            lines.append(f"near {name} {image.width} {image.height} {NEAR[name]}\n")
        else:
            lines.append(line("picture", name, image))
    (folder / "expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
