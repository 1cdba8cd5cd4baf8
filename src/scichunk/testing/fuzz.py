"""Damaged copies of a file, the same on every run."""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["mutations"]

_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutations(data: bytes, count: int, seed: int = 0, *, head: int | None = None) -> Iterator[bytes]:
    """Yield damaged copies.

    Parameters
    ----------
    data
        The sound file.
    count
        How many copies.
    seed
        Of the random numbers.
    head
        Damage only the first bytes (headers); None for anywhere.
    """
    rng = random.Random(seed)  # noqa: S311
    reach = min(len(data), head or len(data))
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(max(1, reach))
            kind = rng.randrange(6)
            if kind == 0:
                copy[at : at + 1] = bytes([rng.randrange(256)])
            elif kind == 1:
                size = rng.choice((2, 4, 8))
                value = rng.choice(_VALUES) & ((1 << 8 * size) - 1)
                copy[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
            elif kind == 2:
                copy[at : at + 16] = bytes(16)
            elif kind == 3:
                del copy[at:]
            elif kind == 4:
                del copy[at : at + rng.randrange(1, 20)]
            else:
                copy[at:at] = copy[at : at + rng.randrange(1, 20)]
            reach = min(reach, len(copy)) or 1
        yield bytes(copy)
