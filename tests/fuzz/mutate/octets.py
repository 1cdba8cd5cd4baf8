"""Damage that knows no structure: bytes, runs and lengths."""

from __future__ import annotations

import random

EDGES = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 24, (1 << 31) - 1, 1 << 31,
         (1 << 32) - 2, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
"""Integers at which sums, products and signs go wrong."""


def edge(rng: random.Random, bits: int, *near: int) -> int:
    """Draw an integer of so many bits: an edge, something near what was there, or anything."""
    kind = rng.random()
    if near and kind < 0.4:
        value = rng.choice(near)
        value = rng.choice((value + 1, value - 1, value * 2, value // 2, -value, value + (1 << 32), value * 1000))
    elif kind < 0.9:
        value = rng.choice(EDGES)
    else:
        value = rng.getrandbits(bits)
    return value & ((1 << bits) - 1)


def put(data: bytearray, at: int, size: int, value: int, order: str) -> None:
    """Overwrite an integer, as far as there is room for it."""
    if 0 <= at <= len(data) - size:
        data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)


def damage(data: bytearray, rng: random.Random, start: int = 0, stop: int | None = None) -> None:
    """Change bytes within a range in place; the length of the file stays as it is."""
    stop = len(data) if stop is None else min(stop, len(data))
    if start >= stop:
        return
    at, kind = rng.randrange(start, stop), rng.randrange(7)
    run = slice(at, min(stop, at + rng.choice((1, 2, 4, 8, 16, 60))))
    size = run.stop - run.start
    if kind == 0:
        data[at] = rng.randrange(256)
    elif kind == 1:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 2:
        data[run] = bytes(size)
    elif kind == 3:
        data[run] = b"\xff" * size
    elif kind == 4:
        data[run] = rng.randbytes(size)
    elif kind == 5:
        other = rng.randrange(start, max(start + 1, stop - size))
        data[run] = data[other : other + size]
    else:
        size = rng.choice((1, 2, 4, 8))
        if at + size <= stop:
            put(data, at, size, edge(rng, 8 * size, stop - start), rng.choice(("little", "big")))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage bytes anywhere, or cut, drop, double and move runs of them."""
    copy = bytearray(data)
    if not copy:
        return rng.randbytes(4)
    at, kind, size = rng.randrange(len(copy)), rng.randrange(10), rng.choice((1, 2, 5, 20, 200))
    if kind == 0:
        del copy[at:]
    elif kind == 1:
        del copy[at : at + size]
    elif kind == 2:
        copy[at:at] = copy[at : at + size]
    elif kind == 3:
        copy += rng.randbytes(size)
    else:
        for _ in range(rng.choice((1, 1, 2, 8))):
            damage(copy, rng)
    return bytes(copy)
