"""Resizing rule of ERNIE-4.5-VL's image processor (transformers `smart_resize`)."""

import math

from PIL import Image

FACTOR = 28
IMAGE_MIN_PIXELS = 64 * 784
IMAGE_MAX_PIXELS = 144 * 784
VIDEO_MIN_PIXELS = 36 * 784
VIDEO_MAX_PIXELS = 64 * 784
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


def smart_resize(height, width, min_pixels, max_pixels):
    """-> (height, width), multiples of 28 with min_pixels <= area <= max_pixels."""
    if max(height, width) / min(height, width) > 200:
        raise ValueError("aspect ratio over 200")
    new_h = max(FACTOR, round(height / FACTOR) * FACTOR)
    new_w = max(FACTOR, round(width / FACTOR) * FACTOR)
    if new_h * new_w > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        new_h = math.floor(height / beta / FACTOR) * FACTOR
        new_w = math.floor(width / beta / FACTOR) * FACTOR
    elif new_h * new_w < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        new_h = math.ceil(height * beta / FACTOR) * FACTOR
        new_w = math.ceil(width * beta / FACTOR) * FACTOR
    return new_h, new_w


def resize(image, video=False):
    """PIL image -> PIL image of the size the model sees."""
    lo, hi = (VIDEO_MIN_PIXELS, VIDEO_MAX_PIXELS) if video else (IMAGE_MIN_PIXELS, IMAGE_MAX_PIXELS)
    height, width = smart_resize(image.height, image.width, lo, hi)
    if (width, height) == image.size:
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)
