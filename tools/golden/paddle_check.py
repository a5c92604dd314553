#!/usr/bin/env python3
"""The picture processor against a second reference: PaddleFormers' original one.

    paddle_check.py        needs paddleformers==1.2.0 and paddlepaddle==3.3.1 (CPU)

reference_model.py's resizing and patches are those that the golden files, and so the C++ tests, hold to
transformers. This compares them with PaddleFormers on the pictures of tests/golden/media and on synthetic
ones of odd shapes. PaddleFormers rounds pixel values to bfloat16; the values must be equal after that
rounding. It ends with 1 if any is not.
"""
import pathlib
import sys

import numpy as np
from paddleformers.transformers.ernie4_5_moe_vl.image_processor import Ernie4_5_VLImageProcessor, smart_resize
from PIL import Image, ImageOps

import reference_model

MEDIA = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/media"
SHAPES = [(28, 28), (57, 200), (200, 57), (640, 480), (1333, 801), (33, 1900), (1024, 1024), (3000, 40), (15, 15), (2500, 2500)]


def pictures():
    for path in sorted(MEDIA.iterdir()):
        if path.suffix in (".txt", ".raw"):
            continue
        try:
            picture = ImageOps.exif_transpose(Image.open(path))
        except OSError:
            continue  # a file that is broken on purpose
        if picture.mode in ("RGB", "L") and min(picture.size) > 1:
            yield path.name, picture.convert("RGB")
    rng = np.random.default_rng(7)
    for height, width in SHAPES:
        coarse = rng.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), dtype=np.uint8)
        yield f"{width}x{height}", Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def main():
    least, most = reference_model.IMAGE_LIMITS
    processor = Ernie4_5_VLImageProcessor(min_pixels=least, max_pixels=most)
    values = differing = count = 0
    for name, picture in pictures():
        size = reference_model.smart_resize(picture.height, picture.width, (least, most))
        theirs_size = smart_resize(picture.height, picture.width, 28, least, most)
        assert size == tuple(theirs_size), f"{name}: size {size}, PaddleFormers {theirs_size}"
        theirs = processor.preprocess(picture)
        resized = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        ours, grid = reference_model.patchify(np.asarray(resized)[None])
        assert tuple(np.asarray(theirs["image_grid_thw"]).reshape(-1)) == grid, name
        pixels = np.asarray(theirs["pixel_values"])
        different = int(np.count_nonzero(pixels.reshape(ours.shape) != ours.astype(pixels.dtype)))
        print(f"{name:40} {size[1]}x{size[0]}  {different} of {ours.size} values differ")
        values, differing, count = values + ours.size, differing + different, count + 1
    print(f"{count} pictures, {differing} of {values} values differ")
    return 0 if differing == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
