"""Puts coded tiles into HEIC files with the boxes that pillow_heif does not write: grids, turns and mirrors."""

import struct

TURN_LEFT = {quarters: (b"irot", bytes([quarters])) for quarters in (1, 2, 3)}
MIRROR = {axis: (b"imir", bytes([axis])) for axis in (0, 1)}


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def size_property(width, height):
    return full(b"ispe", 0, 0, struct.pack(">II", width, height))


def coded_tile(heic):
    """The configuration box and the data of a file with one coded picture."""
    at = heic.index(b"hvcC") - 4
    configuration = heic[at:at + struct.unpack_from(">I", heic, at)[0]]
    data = heic.index(b"mdat") + 4
    return configuration, heic[data:data - 8 + struct.unpack_from(">I", heic, data - 8)[0]]


def heic(tiles, tile_size, columns, size, transforms=()):
    """A picture of `size`, cut out of a grid of tiles with `columns`, then turned and mirrored."""
    coded = [coded_tile(tile) for tile in tiles]
    assert all(configuration == coded[0][0] for configuration, _ in coded)
    rows = len(tiles) // columns
    is_grid = len(tiles) > 1
    payloads = [data for _, data in coded]
    kinds = [b"hvc1"] * len(tiles)
    if is_grid:
        payloads.append(struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size))
        kinds.append(b"grid")
    shown = len(kinds)  # the last item
    properties = [coded[0][0], size_property(*tile_size), size_property(*size), *(box(*t) for t in transforms)]
    turned = list(range(4, 4 + len(transforms)))
    links = {item: [1, 2] for item in range(1, len(tiles) + 1)}
    if is_grid:
        links[shown] = [3] + turned
    else:
        links[shown] += turned
    ipma = b"".join(struct.pack(">HB", item, len(p)) + bytes(i | 0x80 if i in (1, *turned) else i for i in p)
                    for item, p in links.items())
    entries = b"".join(full(b"infe", 2, 0 if item == shown else 1, struct.pack(">HH", item, 0), kind, b"\0")
                       for item, kind in enumerate(kinds, 1))
    references = b""
    if is_grid:
        numbers = range(1, len(tiles) + 1)
        references = full(b"iref", 0, 0, box(b"dimg", struct.pack(">HH", shown, len(tiles)),
                                             *(struct.pack(">H", n) for n in numbers)))

    def meta(offset):
        places = b""
        for item, data in enumerate(payloads, 1):
            places += struct.pack(">HHHII", item, 0, 1, offset, len(data))
            offset += len(data)
        return full(b"meta", 0, 0, full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
                    full(b"pitm", 0, 0, struct.pack(">H", shown)),
                    full(b"iinf", 0, 0, struct.pack(">H", len(kinds)), entries), references,
                    box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, 0, struct.pack(">I", len(links)), ipma)),
                    full(b"iloc", 0, 0, b"\x44\0", struct.pack(">H", len(payloads)), places))

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *payloads)
