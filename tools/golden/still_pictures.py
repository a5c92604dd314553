"""Makes the pictures under tests/golden/stills: every kind of BMP, TIFF, AVIF and HEIC the server accepts.

Pillow and pillow_heif write what they can; the rest is packed here.
"""

import io
import struct

import numpy as np
import pillow_heif
from heic_boxes import MIRROR, TURN_LEFT, heic
from media_pictures import ORIENTATION_TAG, exif, save, scene
from PIL import Image, TiffImagePlugin

WIDTH, HEIGHT = 37, 22
SHORT, LONG = 3, 4


def rgb(seed=0, width=WIDTH, height=HEIGHT):
    return Image.fromarray(scene(width, height, seed=seed))


def rgba():
    return Image.fromarray(scene(WIDTH, HEIGHT, 4))


def bmp(samples, bits, masks=(), top_down=False):
    """A bitmap of packed pixels; `masks` make it one of header version 4, whose fourth mask is alpha's."""
    height, width = samples.shape
    rows = samples.astype("<u2" if bits == 16 else "<u4")
    rows = np.pad(rows, ((0, 0), (0, -width % 2 if bits == 16 else 0)))
    data = (rows if top_down else rows[::-1]).tobytes()
    header_bytes = 108 if len(masks) == 4 else 40
    header = struct.pack("<IiiHHIIiiII", header_bytes, width, -height if top_down else height, 1, bits,
                         3 if masks else 0, len(data), 0, 0, 0, 0)
    header += struct.pack(f"<{len(masks)}I", *masks)
    header = header.ljust(header_bytes, b"\0")
    offset = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + data


def bmps():
    picture = rgb()
    yield "bmp_24bit.bmp", save(picture, format="BMP")
    yield "bmp_grey.bmp", save(picture.convert("L"), format="BMP")
    yield "bmp_1bit.bmp", save(picture.convert("1"), format="BMP")
    palette = save(picture.quantize(100), format="BMP")
    yield "bmp_palette.bmp", palette
    pixels = scene(WIDTH, HEIGHT, 4).astype(np.uint32)
    r, g, b, a = (pixels[..., i] for i in range(4))
    yield "bmp_555.bmp", bmp((r >> 3) << 10 | (g >> 3) << 5 | b >> 3, 16)
    yield "bmp_565.bmp", bmp((r >> 3) << 11 | (g >> 2) << 5 | b >> 3, 16, (0xF800, 0x7E0, 0x1F))
    word = a << 24 | r << 16 | g << 8 | b
    yield "bmp_32bit.bmp", bmp(word, 32)
    yield "bmp_alpha.bmp", bmp(word, 32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "bmp_top_down.bmp", bmp(word, 32, (0xFF0000, 0xFF00, 0xFF), top_down=True)
    yield "bmp_rle8.bmp", rle8(palette)


def rle8(palette):
    """The same with run lengths: literal pairs of one pixel each, an end for each row and one for all."""
    header = bytearray(palette[:struct.unpack_from("<I", palette, 10)[0]])
    stride = (WIDTH + 3) // 4 * 4
    rows = palette[len(header):]
    body = b"".join(b"".join(bytes([1, p]) for p in rows[y * stride:y * stride + WIDTH]) + b"\0\0"
                    for y in range(HEIGHT)) + b"\0\1"
    struct.pack_into("<I", header, 30, 1)
    struct.pack_into("<I", header, 34, len(body))
    struct.pack_into("<I", header, 2, len(header) + len(body))
    return bytes(header) + body


def tiff(samples, photometric, extra=None, planar=False, big=False):
    """An uncompressed TIFF of [height, width, channels] samples of 8 or 16 bits, one strip for each plane."""
    height, width, channels = samples.shape
    order = ">" if big else "<"
    samples = samples.astype(samples.dtype.newbyteorder(order))
    planes = [samples[..., i] for i in range(channels)] if planar else [samples]
    sizes = [plane.nbytes for plane in planes]
    entries = [(256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [samples.dtype.itemsize * 8] * channels),
               (259, SHORT, [1]), (262, SHORT, [photometric]), (273, LONG, [0] * len(planes)), (277, SHORT, [channels]),
               (278, LONG, [height]), (279, LONG, sizes), (284, SHORT, [2 if planar else 1])]
    if extra is not None:
        entries.append((338, SHORT, [extra]))
    at = 8 + 2 + 12 * len(entries) + 4
    outside = sum(len(v) * (2 if t == SHORT else 4) for _, t, v in entries if len(v) * (2 if t == SHORT else 4) > 4)
    offset = at + outside
    for size, i in zip(sizes, range(len(planes))):
        entries[5][2][i] = offset
        offset += size
    directory, values = b"", b""
    for tag, kind, numbers in entries:
        packed = struct.pack(order + str(len(numbers)) + ("H" if kind == SHORT else "I"), *numbers)
        if len(packed) > 4:
            place = struct.pack(order + "I", at + len(values))
            values += packed
        else:
            place = packed.ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + place
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(order + "IH", 8, len(entries))
    return head + directory + bytes(4) + values + b"".join(p.tobytes() for p in planes)


def tiffs():
    picture = rgb()
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"tiff_{compression}.tif", save(picture, format="TIFF", compression=compression)
    yield "tiff_fax.tif", save(picture.convert("1"), format="TIFF", compression="group4")
    yield "tiff_grey.tif", save(picture.convert("L"), format="TIFF", compression="tiff_lzw")
    yield "tiff_palette.tif", save(picture.quantize(100), format="TIFF", compression="tiff_lzw")
    yield "tiff_alpha.tif", save(rgba(), format="TIFF", compression="tiff_lzw")
    yield "tiff_grey_alpha.tif", save(rgba().convert("LA"), format="TIFF", compression="tiff_lzw")
    cmyk = scene(WIDTH, HEIGHT, 4)
    yield "tiff_cmyk.tif", save(Image.fromarray(cmyk, mode="CMYK"), format="TIFF", compression="tiff_lzw")
    yield "tiff_cmyk_16bit.tif", tiff(scene(WIDTH, HEIGHT, 4, 16), 5)
    yield "tiff_grey_16bit.tif", tiff(scene(WIDTH, HEIGHT, 1, 16), 1)
    yield "tiff_grey_16bit_big_endian.tif", tiff(scene(WIDTH, HEIGHT, 1, 16), 1, big=True)
    yield "tiff_rgb_16bit.tif", tiff(scene(WIDTH, HEIGHT, 3, 16), 2)
    yield "tiff_rgba_16bit.tif", tiff(scene(WIDTH, HEIGHT, 4, 16), 2, extra=2)
    pixels = scene(WIDTH, HEIGHT, 4)
    premultiplied = pixels.copy()
    premultiplied[..., :3] = pixels[..., :3].astype(int) * pixels[..., 3:] // 255
    yield "tiff_premultiplied.tif", tiff(premultiplied, 2, extra=1)
    yield "tiff_fourth_ignored.tif", tiff(pixels, 2, extra=0)
    yield "tiff_fourth_unnamed.tif", tiff(pixels, 2)
    yield "tiff_planes.tif", tiff(scene(WIDTH, HEIGHT), 2, planar=True)
    yield "tiff_white_is_zero.tif", tiff(scene(WIDTH, HEIGHT, 1), 0)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for orientation in range(2, 9):
        tags[ORIENTATION_TAG] = orientation
        turned = save(rgb(2, 19, 12), format="TIFF", tiffinfo=tags, compression="tiff_lzw")
        yield f"tiff_turned_{orientation}.tif", turned
    yield "tiff_pages.tif", save(picture, format="TIFF", save_all=True, append_images=[rgb(3)], compression="tiff_lzw")
    yield "tiff_large_offsets.tif", save(picture, format="TIFF", big_tiff=True, compression="tiff_lzw")


def avifs():
    for subsampling in ("4:2:0", "4:2:2", "4:4:4", "4:0:0"):
        name = subsampling.replace(":", "")
        yield f"avif_{name}.avif", save(rgb(), format="AVIF", quality=70, subsampling=subsampling)
    yield "avif_alpha.avif", save(rgba(), format="AVIF", quality=70)
    for orientation in range(2, 9):
        yield f"avif_turned_{orientation}.avif", save(rgb(2, 19, 12), format="AVIF", quality=60, exif=exif(orientation))
    yield "avif_limited_range.avif", save(rgb(), format="AVIF", quality=70, range="limited")
    animated = bytearray(save(rgb(), format="AVIF", save_all=True, append_images=[rgb(3)], quality=60))
    for header in (b"mvhd", b"tkhd", b"mdhd"):
        at = animated.index(header) + 8
        animated[at:at + 16] = bytes(16)  # when it was made
    yield "avif_animated.avif", bytes(animated)


def heics():
    picture = rgb(0, 48, 40)
    for chroma in (420, 422, 444):
        yield f"heic_{chroma}.heic", save(picture, format="HEIF", quality=60, chroma=chroma)
    yield "heic_grey.heic", save(picture.convert("L"), format="HEIF", quality=60)
    yield "heic_alpha.heic", save(Image.fromarray(scene(48, 40, 4)), format="HEIF", quality=60)
    deep = pillow_heif.from_bytes("RGB;16", (48, 40), scene(48, 40, 3, 16).tobytes())
    out = io.BytesIO()
    deep.save(out, quality=60)
    yield "heic_10bit.heic", out.getvalue()
    tiles = [save(rgb(seed, 64, 64), format="HEIF", quality=30, chroma=444) for seed in range(4)]
    yield "heic_grid.heic", heic(tiles, (64, 64), 2, (100, 90))
    yield "heic_grid_turned.heic", heic(tiles[:2], (64, 64), 2, (100, 60), [TURN_LEFT[1]])
    tile = save(rgb(2, 64, 64), format="HEIF", quality=20, chroma=444)
    for quarters, turn in TURN_LEFT.items():
        yield f"heic_turned_{quarters}.heic", heic([tile], (64, 64), 1, (64, 64), [turn])
    for axis, mirror in MIRROR.items():
        yield f"heic_mirrored_{axis}.heic", heic([tile], (64, 64), 1, (64, 64), [mirror])
    yield "heic_turned_mirrored.heic", heic([tile], (64, 64), 1, (64, 64), [TURN_LEFT[1], MIRROR[0]])


def pictures():
    for family in (bmps, tiffs, avifs, heics):
        yield from family()
