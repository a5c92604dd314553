"""Makes the pictures under tests/golden/media: every format and mode the server accepts.

Pillow writes what it can; the rest (16-bit, interlaced, colour-keyed PNG; GIF frames smaller than
the screen; YCCK) is written or patched here.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

ORIENTATION_TAG = 0x0112
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def scene(width, height, channels=3, depth=8, seed=0):
    """A picture with gradients, hard edges and noise: uint8 or uint16 [height, width, channels]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        wave = np.sin(x / (5 + 3 * c)) * np.cos(y / (7 - c)) * 0.3
        slope = (x * (c + 1) / max(width, 1) + y * (3 - c) / max(height, 1)) / 4
        disc = ((x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (min(width, height) * (0.2 + 0.05 * c)) ** 2)
        plane = 0.25 + wave + slope * 0.6 + disc * 0.3 + rng.normal(0, 0.04, (height, width))
        planes.append(np.clip(plane, 0, 1))
    top = (1 << depth) - 1
    return np.round(np.stack(planes, -1) * top).astype(np.uint16 if depth == 16 else np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(samples, depth):
    """Filter-0 rows of [height, width, channels] samples at `depth` bits."""
    height, width, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").tobytes()
        size = width * channels * 2
        return b"".join(b"\0" + rows[i * size:(i + 1) * size] for i in range(height))
    bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth:]
    return b"".join(b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in bits)


def png(samples, depth, color_type, interlaced=False, extra=()):
    """A PNG of raw samples; `extra` are (type, data) chunks between IHDR and IDAT."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(packed_rows(p, depth) for p in passes if p.size)
    else:
        data = packed_rows(samples, depth)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(k, d) for k, d in chunks)


def save(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION_TAG] = orientation
    return tags.tobytes()


def jpegs():
    rgb = Image.fromarray(scene(131, 77))
    yield "jpeg_444.jpg", save(rgb, format="JPEG", quality=92, subsampling=0)
    yield "jpeg_422.jpg", save(rgb, format="JPEG", quality=85, subsampling=1)
    yield "jpeg_420.jpg", save(rgb, format="JPEG", quality=75, subsampling=2)
    yield "jpeg_progressive.jpg", save(rgb, format="JPEG", quality=80, progressive=True)
    yield "jpeg_restart.jpg", save(rgb, format="JPEG", quality=60, restart_marker_rows=1)
    yield "jpeg_stored_rgb.jpg", save(rgb, format="JPEG", quality=90, keep_rgb=True)
    photo = Image.fromarray(scene(640, 427, seed=1))
    yield "jpeg_photo.jpg", save(photo, format="JPEG", quality=70)
    yield "jpeg_grey.jpg", save(rgb.convert("L"), format="JPEG")
    yield "jpeg_1x1.jpg", save(rgb.crop((60, 30, 61, 31)), format="JPEG")
    yield "jpeg_17x1.jpg", save(rgb.crop((40, 30, 57, 31)), format="JPEG")
    cmyk = Image.fromarray(scene(61, 43, 4), mode="CMYK")
    yield "jpeg_cmyk.jpg", save(cmyk, format="JPEG", quality=90)
    ycck = bytearray(save(cmyk, format="JPEG", quality=90, subsampling=0))
    ycck[ycck.index(b"Adobe") + 11] = 2  # the marker's colour transform: 2 = YCCK
    yield "jpeg_ycck.jpg", bytes(ycck)
    small = Image.fromarray(scene(37, 22, seed=2))
    for orientation in range(1, 9):
        name = f"jpeg_exif_{orientation}.jpg"
        yield name, save(small, format="JPEG", quality=85, exif=exif(orientation))


def pngs():
    rgb = scene(83, 59)
    rgba = scene(83, 59, 4)
    image = Image.fromarray(rgb)
    yield "png_rgb.png", save(image, format="PNG", optimize=True)
    yield "png_rgba.png", save(Image.fromarray(rgba), format="PNG")
    yield "png_grey.png", save(image.convert("L"), format="PNG")
    yield "png_grey_alpha.png", save(Image.fromarray(rgba).convert("LA"), format="PNG")
    palette = image.quantize(200)
    yield "png_palette.png", save(palette, format="PNG")
    yield "png_palette_alpha.png", save(palette, format="PNG", transparency=bytes(range(0, 200, 2)))
    for bits in (1, 2, 4):
        yield f"png_palette_{bits}bit.png", save(image.quantize(1 << bits), format="PNG", bits=bits)
        grey = scene(45, 33, 1) >> (8 - bits)
        yield f"png_grey_{bits}bit.png", png(grey, bits, 0, interlaced=bits == 2)
    grey16 = scene(51, 37, 1, 16)
    yield "png_grey_16bit.png", png(grey16, 16, 0)
    yield "png_grey_alpha_16bit.png", png(scene(51, 37, 2, 16), 16, 4)
    yield "png_rgb_16bit.png", png(scene(51, 37, 3, 16), 16, 2, interlaced=True)
    yield "png_rgba_16bit.png", png(scene(51, 37, 4, 16), 16, 6)
    yield "png_interlaced.png", png(rgb, 8, 2, interlaced=True)
    yield "png_rgba_interlaced.png", png(rgba, 8, 6, interlaced=True)
    keyed = rgb.copy()
    keyed[10:30, 20:60] = (200, 30, 90)
    key = struct.pack(">3H", 200, 30, 90)
    yield "png_rgb_key.png", png(keyed, 8, 2, extra=[(b"tRNS", key)])
    grey = rgb[..., :1].copy()
    grey[5:25] = 77
    yield "png_grey_key.png", png(grey, 8, 0, extra=[(b"tRNS", struct.pack(">H", 77))])
    grey16[3:20] = 0x4D2C
    grey16[20:25] = 0x4D2D  # the same high byte is another colour
    yield "png_grey_16bit_key.png", png(grey16, 16, 0, extra=[(b"tRNS", b"\x4d\x2c")])
    yield "png_exif_6.png", save(image, format="PNG", exif=exif(6))
    yield "png_1x1.png", save(image.crop((0, 0, 1, 1)), format="PNG")
    yield "png_1x300.png", save(Image.fromarray(scene(1, 300)), format="PNG")
    yield "png_300x1.png", save(Image.fromarray(scene(300, 1)), format="PNG")
    yield "png_wide.png", save(Image.fromarray(scene(700, 9)), format="PNG")


def gifs():
    image = Image.fromarray(scene(67, 47))
    palette = image.quantize(64)
    yield "gif_plain.gif", save(palette, format="GIF", interlace=0)
    yield "gif_interlaced.gif", save(palette, format="GIF", interlace=1)
    yield "gif_transparent.gif", save(palette, format="GIF", transparency=7)
    yield "gif_grey.gif", save(image.convert("L"), format="GIF")
    other = Image.fromarray(scene(67, 47, seed=3)).quantize(32)
    animated = save(palette, format="GIF", save_all=True, append_images=[other], duration=50)
    yield "gif_animated.gif", animated
    tiny = Image.fromarray(scene(11, 9)).quantize(8)
    yield "gif_tiny.gif", save(tiny, format="GIF", transparency=3)
    for name in ("opaque", "transparent"):
        options = {"transparency": 7} if name == "transparent" else {}
        data = bytearray(save(palette, format="GIF", interlace=0, **options))
        frame = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 67, 47))
        moved = bytearray(data)
        struct.pack_into("<HH", moved, frame + 1, 9, 5)
        struct.pack_into("<HH", moved, 6, 80, 60)
        yield f"gif_frame_inside_{name}.gif", bytes(moved)
        struct.pack_into("<HH", moved, 6, 40, 30)
        yield f"gif_frame_outside_{name}.gif", bytes(moved)


def webps():
    image = Image.fromarray(scene(91, 67))
    rgba = Image.fromarray(scene(91, 67, 4))
    yield "webp_lossy.webp", save(image, format="WEBP", quality=70)
    yield "webp_lossless.webp", save(image, format="WEBP", lossless=True)
    yield "webp_lossy_alpha.webp", save(rgba, format="WEBP", quality=70)
    yield "webp_lossless_alpha.webp", save(rgba, format="WEBP", lossless=True, exact=True)
    yield "webp_exif_8.webp", save(image, format="WEBP", quality=60, exif=exif(8))
    yield "webp_1x1.webp", save(image.crop((0, 0, 1, 1)), format="WEBP", lossless=True)
    frames = [Image.fromarray(scene(91, 67, 4, seed=s)) for s in (4, 5)]
    yield "webp_animated_alpha.webp", save(
        frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True)
    tiny = [Image.fromarray(scene(10, 8, 4, seed=s)) for s in (6, 7)]
    yield "webp_tiny_animated.webp", save(
        tiny[0], format="WEBP", save_all=True, append_images=tiny[1:], quality=50)
    for name, picture in (("alpha", frames[0]), ("opaque", image)):
        frame = save(picture.crop((0, 0, 41, 33)), format="WEBP", lossless=True)[12:]
        yield f"webp_frame_inside_{name}.webp", placed_frame(frame, 41, 33, 91, 67, name == "alpha")


def placed_frame(frame, width, height, canvas_width, canvas_height, alpha):
    """An animation of one frame (its chunks) at (10, 6) of a larger canvas."""
    def u24(value):
        return struct.pack("<I", value)[:3]

    def riff(kind, data):
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    flags = bytes([0x02 | (0x10 if alpha else 0), 0, 0, 0])
    extended = riff(b"VP8X", flags + u24(canvas_width - 1) + u24(canvas_height - 1))
    animation = riff(b"ANIM", b"\x40\x80\xc0\xff" + b"\0\0")
    place = u24(10 // 2) + u24(6 // 2) + u24(width - 1) + u24(height - 1) + u24(100) + b"\0"
    body = b"WEBP" + extended + animation + riff(b"ANMF", place + frame)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pictures():
    for family in (jpegs, pngs, gifs, webps):
        yield from family()
