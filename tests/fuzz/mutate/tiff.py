"""Damage to TIFF files: directories and their chain, entries, tables of blocks, and what the codecs get (TIFF 6.0, section 2)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.fuzz.mutate.octets import damage, edge, put
from tests.fuzz.mutate.octets import mutate as mutate_octets

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
OFFSETS, COUNTS = (273, 324), (279, 325)
TAGS = (254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 292, 293, 301, 317, 320, 322, 323, 324, 325,
        330, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532, 33432, 33550, 33922, 34016, 34264, 34665, 34735, 34736,
        34737, 42112, 42113, 50674, 50844, 65000)  # fmt: skip
WORDS = {
    258: (1, 2, 4, 7, 8, 12, 16, 24, 32, 33, 64, 128, 0),
    259: (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 32773, 32946, 34661, 34712, 34887, 34892, 34925, 50000, 50001, 50002, 52546),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 9, 32844, 65535),
    266: (1, 2, 3),
    274: (0, 1, 2, 3, 6, 8, 9),
    277: (0, 1, 2, 3, 4, 5, 17, 255, 65535),
    284: (0, 1, 2, 3),
    317: (0, 1, 2, 3, 4, 34892, 34893, 34894, 34895, 34896),
    338: (0, 1, 2, 3),
    339: (0, 1, 2, 3, 4, 5, 6, 7),
}
"""Values of tags whose values have a meaning each."""


@dataclass(frozen=True)
class Entry:
    """An entry of a directory: where it stands, and what it says."""

    at: int
    tag: int
    kind: int
    count: int
    value: int
    first: int  # where the values are

    @property
    def size(self):
        return SIZES.get(self.kind, 1)


class Layout:
    """Byte order, width of numbers, directories and entries of a file."""

    def __init__(self, data):
        self.data = data
        self.order = "little" if data[:2] == b"II" else "big"
        self.big = self.number(2, 2) == 43
        self.wide, self.head, self.width = (8, 8, 20) if self.big else (4, 2, 12)
        self.directories = []
        at, seen = self.number(8 if self.big else 4, self.wide), set()
        while at and at not in seen and at + self.head <= len(data) and len(seen) < 8:
            seen.add(at)
            count = self.number(at, self.head)
            entries = [self.entry(at + self.head + i * self.width) for i in range(min(count, 80))]
            tail = at + self.head + count * self.width
            self.directories.append((at, [e for e in entries if e], tail))
            at = self.number(tail, self.wide)

    def number(self, at, size):
        return int.from_bytes(self.data[at : at + size], self.order)

    def entry(self, at):
        if at + self.width > len(self.data):
            return None
        tag, kind = self.number(at, 2), self.number(at + 2, 2)
        count, field = self.number(at + 4, self.wide), at + 4 + self.wide
        value = self.number(field, self.wide)
        return Entry(at, tag, kind, count, value, field if count * SIZES.get(kind, 1) <= self.wide else value)

    def values(self, entry, most=64):
        return [self.number(entry.first + i * entry.size, entry.size) for i in range(min(entry.count, most))]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change something that the structure of a TIFF file consists of; what is none is damaged without it."""
    layout = Layout(data)
    if data[:2] not in {b"II", b"MM"} or not layout.directories:
        return mutate_octets(data, rng)
    copy = bytearray(data)
    directory = rng.choice(layout.directories)
    if not directory[1]:
        return mutate_octets(data, rng)
    rng.choices((_value, _field, _table, _payload, _chain, _entries), (8, 4, 4, 6, 1, 2))[0](
        copy, layout, directory, rng
    )
    return bytes(copy)


def _value(copy, layout, directory, rng):
    """A value of an entry, wherever it stands."""
    entry = rng.choice(directory[1])
    size, number = entry.size, rng.randrange(max(1, min(entry.count, 64)))
    at = entry.first + number * size
    words = WORDS.get(entry.tag)
    value = (
        rng.choice(words) if words and rng.random() < 0.8 else edge(rng, 8 * size, layout.number(at, size), len(copy))
    )
    put(copy, at, size, value, layout.order)
    if words and entry.count > 1 and rng.random() < 0.5:  # of all bands alike
        for i in range(min(entry.count, 64)):
            put(copy, entry.first + i * size, size, value, layout.order)


def _field(copy, layout, directory, rng):
    """Tag, type, count or place of an entry."""
    entry, kind = rng.choice(directory[1]), rng.randrange(4)
    if kind == 0:
        put(copy, entry.at, 2, rng.choice(TAGS), layout.order)
    elif kind == 1:
        put(copy, entry.at + 2, 2, rng.choice((*SIZES, 0, 14, 15, 19, 255)), layout.order)
    elif kind == 2:
        put(copy, entry.at + 4, layout.wide, edge(rng, 8 * layout.wide, entry.count), layout.order)
    else:
        place = edge(rng, 8 * layout.wide, entry.value, entry.at, directory[0], len(copy))
        put(copy, entry.at + 4 + layout.wide, layout.wide, place, layout.order)


def _table(copy, layout, directory, rng):
    """Places and lengths of strips and tiles: exchanged, shared, too long, outside, absent."""
    tables = [e for e in directory[1] if e.tag in OFFSETS + COUNTS]
    if not tables:
        return _value(copy, layout, directory, rng)
    entry = rng.choice(tables)
    numbers = layout.values(entry)
    if not numbers:
        return None
    one, other = rng.randrange(len(numbers)), rng.randrange(len(numbers))
    place = entry.first + one * entry.size
    value = rng.choice((0, numbers[other], numbers[one] + 1, numbers[one] - 1, numbers[one] // 2, numbers[one] + 300,
                        len(copy) - 1, len(copy), edge(rng, 8 * entry.size)))  # fmt: skip
    put(copy, place, entry.size, value, layout.order)
    if value == numbers[other]:
        put(copy, entry.first + other * entry.size, entry.size, numbers[one], layout.order)
    return None


def _payload(copy, layout, directory, rng):
    """What a codec gets, or its tables (JPEG)."""
    by_tag = {e.tag: e for e in directory[1]}
    if 347 in by_tag and rng.random() < 0.2:
        return damage(copy, rng, by_tag[347].first, by_tag[347].first + by_tag[347].count)
    starts = next((layout.values(by_tag[t]) for t in OFFSETS if t in by_tag), [])
    sizes = next((layout.values(by_tag[t]) for t in COUNTS if t in by_tag), [])
    blocks = [(a, a + n) for a, n in zip(starts, sizes, strict=False) if n]
    if not blocks:
        return damage(copy, rng)
    start, stop = rng.choice(blocks)
    stop = min(stop, start + 24) if rng.random() < 0.4 else stop  # headers of codecs
    for _ in range(rng.choice((1, 1, 2, 6))):
        damage(copy, rng, start, stop)
    return None


def _chain(copy, layout, directory, rng):
    """Where the next directory is, or the first; how many entries it has; the first bytes of the file."""
    at, entries, tail = directory
    kind = rng.randrange(4)
    places = (at, 0, 8, tail, len(copy) - 4, *(d[0] for d in layout.directories))
    if kind == 0:
        put(copy, tail, layout.wide, rng.choice((*places, edge(rng, 8 * layout.wide))), layout.order)
    elif kind == 1:
        put(copy, 8 if layout.big else 4, layout.wide, rng.choice((*places, edge(rng, 8 * layout.wide))), layout.order)
    elif kind == 2:
        put(
            copy,
            at,
            layout.head,
            rng.choice((0, len(entries) - 1, len(entries) + 1, edge(rng, 8 * layout.head))),
            layout.order,
        )
    else:
        damage(copy, rng, 0, 16)


def _entries(copy, layout, directory, rng):
    """Entries that are missing, there twice, or out of order."""
    one, other, width = rng.choice(directory[1]), rng.choice(directory[1]), layout.width
    first, second = copy[one.at : one.at + width], copy[other.at : other.at + width]
    if rng.random() < 0.5:
        copy[other.at : other.at + width] = first
        if rng.random() < 0.5:
            copy[one.at : one.at + width] = second
    else:  # the tag becomes one that means nothing
        put(copy, one.at, 2, 65000, layout.order)
