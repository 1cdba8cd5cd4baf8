"""Damage to JPEG 2000 files: boxes, marker segments and tile-parts (ISO/IEC 15444-1, annexes A and I)."""

from __future__ import annotations

import random

from tests.fuzz.mutate.octets import damage, edge, put
from tests.fuzz.mutate.octets import mutate as mutate_octets

BOXES = (b"jP  ", b"ftyp", b"jp2h", b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res ", b"resc", b"jp2c", b"jp2i",
         b"xml ", b"uuid", b"uinf", b"asoc", b"lbl ", b"free", b"\0\0\0\0")  # fmt: skip
SUPER = {b"jp2h", b"asoc", b"uinf", b"res "}
MARKERS = (0xFF4F, 0xFF50, 0xFF51, 0xFF52, 0xFF53, 0xFF55, 0xFF57, 0xFF58, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60, 0xFF61, 0xFF63,
           0xFF64, 0xFF90, 0xFF91, 0xFF92, 0xFF93, 0xFFD9)  # fmt: skip
SIZ, COD, SOT, SOD, EOC = 0xFF51, 0xFF52, 0xFF90, 0xFF93, 0xFFD9
FIELDS = {
    SIZ: ((4, 2), *((6 + 4 * i, 4) for i in range(8)), (38, 2), (40, 1), (41, 1), (42, 1)),
    COD: ((4, 1), (5, 1), (6, 2), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1), (13, 1), (14, 1), (15, 1)),
    SOT: ((4, 2), (6, 4), (10, 1), (11, 1)),
}
"""Places, counted from the marker, and sizes of the fields of those segments that everything depends on."""


def boxes(data: bytes) -> list[tuple[int, int, bytes]]:
    """Begin, length and type of all boxes, those within others included; none for a bare codestream."""
    found, left = [], [(0, len(data))]
    while left and len(found) < 60:
        at, stop = left.pop()
        if data[:4] == b"\xff\x4f\xff\x51":
            break
        while at + 8 <= stop:
            size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            found.append((at, size, kind))
            end = stop if size == 0 else at + size
            if kind in SUPER:
                left.append((at + 8, min(end, stop)))
            if size in range(1, 8):
                break
            at = end
    return found


def segments(data: bytes, at: int) -> list[tuple[int, int, int]]:
    """Begin, marker and length of all segments of a codestream; of a tile-part's packets where they begin and end."""
    found, part = [], None
    at += 2
    while at + 4 <= len(data) and len(found) < 200:
        marker, size = int.from_bytes(data[at : at + 2], "big"), 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SOT:
            length = int.from_bytes(data[at + 6 : at + 10], "big")
            part = at + length if length else len(data)
        if marker == EOC:
            found.append((at, marker, 2))
            break
        if marker == SOD and part is not None:
            found.append((at, marker, max(2, part - at)))
            at = max(at + 2, part)
            continue
        found.append((at, marker, size))
        at += size
    return found


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change boxes, segments, fields of segments or packets; what is no such file is damaged without its structure."""
    start = data.find(b"\xff\x4f\xff\x51")
    parts = segments(data, start) if start >= 0 else []
    found = boxes(data)
    if found and rng.random() < 0.3:
        return _box(bytearray(data), rng.choice(found), rng)
    if not parts:
        return mutate_octets(data, rng)
    copy = bytearray(data)
    kind = rng.randrange(12)
    if kind < 5:
        return _field(copy, parts, rng)
    if kind < 9:
        return _segment(copy, parts, rng)
    return _packets(copy, parts, rng)


def _box(copy, box, rng):
    at, size, _ = box
    kind = rng.randrange(6)
    if kind == 0:
        put(copy, at, 4, rng.choice((0, 1, 2, 7, 8, 9, size - 1, size + 1, len(copy), edge(rng, 32))), "big")
    elif kind == 1:
        copy[at + 4 : at + 8] = rng.choice(BOXES)
    elif kind == 2:  # the extended length
        put(copy, at, 4, 1, "big")
        copy[at + 8 : at + 8] = rng.choice((size + 8, 0, 15, edge(rng, 64))).to_bytes(8, "big")
    elif kind == 3:
        del copy[at : at + max(8, size)]
    elif kind == 4:
        copy[at:at] = copy[at : at + max(8, size)]
    else:
        head = min(at + max(9, size), at + 60)
        damage(copy, rng, at + 8, head)
    return bytes(copy)


def _field(copy, parts, rng):
    """A field of a marker segment; those that everything depends on more often."""
    main = [p for p in parts if p[1] in FIELDS]
    at, marker, size = rng.choice(main if main and rng.random() < 0.7 else parts)
    if marker in FIELDS and rng.random() < 0.8:
        place, width = rng.choice(FIELDS[marker])
    else:
        place, width = 4 + rng.randrange(max(1, min(size, 80) - 4)), rng.choice((1, 1, 2, 4))
    before = int.from_bytes(copy[at + place : at + place + width], "big")
    small = rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 15, 16, 31, 32, 33, 37, 38, 64, 127, 128, 255))
    value = small if width == 1 or rng.random() < 0.3 else edge(rng, 8 * width, before)
    put(copy, at + place, width, value, "big")
    return bytes(copy)


def _segment(copy, parts, rng):
    """A segment whose length, marker or number is another."""
    (at, marker, size), kind = rng.choice(parts), rng.randrange(6)
    size = min(size, 2000)
    if kind == 0:
        put(copy, at + 2, 2, rng.choice((0, 1, 2, 3, size - 1, size - 3, size, 65535)), "big")
    elif kind == 1:
        put(copy, at, 2, rng.choice(MARKERS), "big")
    elif kind == 2:
        del copy[at : at + size]
    elif kind == 3:
        copy[at:at] = copy[at : at + size]
    elif kind == 4:
        segment, place = bytes(copy[at : at + size]), rng.choice(parts)[0]
        copy[place:place] = segment
    else:  # the next marker is cut off
        del copy[at + rng.randrange(1, max(2, size)) : at + size + (marker == EOC)]
    return bytes(copy)


def _packets(copy, parts, rng):
    """The headers and bodies of packets."""
    runs = [(at + 2, at + size) for at, marker, size in parts if marker == SOD]
    if not runs:
        return mutate_octets(bytes(copy), rng)
    start, stop = rng.choice(runs)
    stop = min(stop, start + 40) if rng.random() < 0.5 else stop
    for _ in range(rng.choice((1, 1, 2, 6))):
        damage(copy, rng, start, stop)
    if rng.random() < 0.1 and start < stop:
        at = rng.randrange(start, stop)
        del copy[at : at + rng.choice((1, 5, stop - at))]
    return bytes(copy)
