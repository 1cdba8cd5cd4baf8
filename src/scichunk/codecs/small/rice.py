"""Rice decoding of FITS tiles by NumPy: a stand-in for :mod:`scichunk.codecs.rice`."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["decode_rice"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.int32]

_HEAD: Final = {1: 3, 2: 4, 4: 5}
"""Bits that say how many low bits the pixels of a block have, by BYTEPIX."""
_RAW: Final = {1: 6, 2: 14, 4: 25}
"""As many: differences as they are."""


def decode_rice(
    data: Bytes,
    offsets: Ints,
    lengths: Ints,
    places: Ints,
    counts: Ints,
    block: int,
    size: int,
    out: Pixels,
    status: Ints,
) -> None:
    """Decode tiles."""
    for t in range(offsets.size):
        begin, length, first, count = (int(table[t]) for table in (offsets, lengths, places, counts))
        inside = size in _HEAD and block > 0 and size <= length <= data.size and 0 <= begin <= data.size - length
        inside = inside and 0 <= count <= out.size and 0 <= first <= out.size - count
        good = inside and _tile(data[begin : begin + length], block, size, out[first : first + count])
        status[t] = 0 if good else 1


def _tile(tile: Bytes, block: int, size: int, out: Pixels) -> bool:
    """One tile; whether it is sound."""
    bits = np.unpackbits(tile)
    found = _places(bits.tobytes(), 8 * size, block, size, out.size)
    if found is None:
        return False
    starts, ones, lows = (np.array(column, np.int64) for column in found)
    raw = lows == 8 * size  # differences as they are, of that many bits
    after = np.where(raw, starts, ones + 1)
    codes = _bits(tile, after, np.maximum(lows, 0)) | np.where(
        raw | (lows < 0), 0, (ones - starts) << np.maximum(lows, 0)
    )
    codes &= 0xFFFFFFFF
    steps = (codes >> 1) ^ -(codes & 1)
    values = int.from_bytes(tile[:size].tobytes(), "big") + np.cumsum(
        steps
    )  # of 32 bits each: no sum of 64 bits wraps around
    wrapped = values.astype(np.int32)
    out[:] = wrapped.astype(np.int16) if size == 2 else wrapped & 255 if size == 1 else wrapped
    return True


def _places(bits: bytes, at: int, block: int, size: int, count: int) -> tuple[list[int], list[int], list[int]] | None:
    """Where the code of each pixel begins, where its first set bit is, and how many low bits it has (-1: it has none, nor bits)."""
    head, most, end = _HEAD[size], _RAW[size], len(bits)
    starts: list[int] = []
    ones: list[int] = []
    lows: list[int] = []
    find = bits.find
    for first in range(0, count, block):
        n = min(block, count - first)
        low = _number(bits[at : at + head]) - 1
        at += head
        if low > most or at > end:
            return None
        if low < 0:
            starts += [at] * n
            ones += [at] * n
        elif low == most:
            low = 8 * size
            starts += range(at, at + n * low, low)
            ones += [at] * n
            at += n * low
        else:
            for _ in range(n):
                starts.append(at)
                at = find(1, at)
                if at < 0:
                    return None
                ones.append(at)
                at += low + 1
        if at > end:
            return None
        lows += [low] * n
    return (starts, ones, lows) if end - at < 8 else None  # bytes that nothing uses


def _number(bits: bytes) -> int:
    value = 0
    for bit in bits:
        value = 2 * value + bit
    return value


def _bits(tile: Bytes, places: Ints, counts: Ints) -> Ints:
    """Up to 32 bits from each place on."""
    padded = np.concatenate([tile, np.zeros(8, np.uint8)])
    byte, word = places >> 3, np.zeros(places.size, np.uint64)
    for i in range(5):
        word |= padded[byte + i].astype(np.uint64) << np.uint64(56 - 8 * i)
    word <<= (places & 7).astype(np.uint64)
    found = (word >> np.uint64(1)) >> (63 - counts).astype(np.uint64)
    return found.astype(np.int64)
