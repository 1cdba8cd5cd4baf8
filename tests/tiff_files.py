"""TIFF files written byte by byte, with tags that no library writes."""

import struct

import numpy as np

CODES = {1: "B", 3: "H", 4: "I", 11: "f", 12: "d"}
KINDS = {"u": 1, "i": 2, "f": 3, "c": 6}
ASCII, SHORT, LONG, DOUBLE = 2, 3, 4, 12


def page(shape, dtype="u1", *, blocks, tile=None, **tags):
    """A directory and its blocks (None: absent) for :func:`tiff`; further tags are called ``t262`` and the like, and are pairs of type and values."""
    samples, height, width = shape
    kind = np.dtype(dtype)
    found = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [8 * kind.itemsize] * samples), 259: (SHORT, [1]), 262: (SHORT, [1]),
        277: (SHORT, [samples]), 284: (SHORT, [1]), 339: (SHORT, [KINDS[kind.kind]] * samples),
    }  # fmt: skip
    found |= {322: (LONG, [tile[1]]), 323: (LONG, [tile[0]])} if tile else {278: (LONG, [height])}
    return found | {int(name[1:]): value for name, value in tags.items()}, blocks, bool(tile)


def image(values, **tags):
    """A page of one strip with values of (band, row, column)."""
    return page(values.shape, values.dtype, blocks=[values.transpose(1, 2, 0).tobytes()], **tags)


def tiles(values, edge=16):
    """Blocks of square tiles of values of (band, row, column)."""
    samples, height, width = values.shape
    found = []
    for y in range(0, height, edge):
        for x in range(0, width, edge):
            block = np.zeros((edge, edge, samples), values.dtype)
            inside = values[:, y : y + edge, x : x + edge].transpose(1, 2, 0)
            block[: inside.shape[0], : inside.shape[1]] = inside
            found.append(block.tobytes())
    return found


def items(text):
    """The tag with GDAL's metadata."""
    return ASCII, f"<GDALMetadata>{text}</GDALMetadata>\0".encode()


def tiff(*pages):
    """A little-endian TIFF file."""
    out, link = bytearray(b"II*\0\0\0\0\0"), 4
    for tags, blocks, tiled in pages:
        places = []
        for block in blocks:
            places.append((len(out), len(block)) if block is not None else (0, 0))
            out += block or b""
        starts, counts = (324, 325) if tiled else (273, 279)
        entries = {starts: (LONG, [p for p, _ in places]), counts: (LONG, [n for _, n in places])} | tags
        table = b""
        for code, (kind, values) in sorted(entries.items()):
            data = values if kind == ASCII else struct.pack(f"<{len(values)}{CODES[kind]}", *values)
            field = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", len(out))
            out += data if len(data) > 4 else b""
            table += struct.pack("<HHI", code, kind, len(values)) + field
        struct.pack_into("<I", out, link, len(out))
        out += struct.pack("<H", len(entries)) + table
        link = len(out)
        out += b"\0\0\0\0"
    return bytes(out)
