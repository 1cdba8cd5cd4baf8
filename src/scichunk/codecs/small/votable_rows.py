"""Fields of binary rows that vary in length: a stand-in for :mod:`scichunk.codecs.text.votable_rows`."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.small.ranges import copy_ranges

__all__ = ["gather_ranges", "gather_values", "scatter_ranges", "walk_rows"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_LENGTH: Final = struct.Struct(">i")


class _Rows:
    """What each row consists of: stretches of fixed size, between lengths and what they speak of."""

    def __init__(self, bits: Ints, fixed: Ints, slots: Ints) -> None:
        self.steps: list[tuple[int, int, int]] = []
        """Field, its bits and its slot; of a fixed stretch -1, its bytes and the place of its wanted fields in ``wanted``."""
        self.wanted: list[list[tuple[int, int, int]]] = []
        """Of each stretch: slot, byte within it, elements."""
        here: list[tuple[int, int, int]] = []
        size, open_ = 0, False
        for k, (width, number, slot) in enumerate(zip(bits.tolist(), fixed.tolist(), slots.tolist(), strict=True)):
            if number < 0:
                if open_:
                    self._close(size, here)
                self.steps.append((k, width, slot))
                size, here, open_ = 0, [], False
                continue
            if slot >= 0:
                here.append((slot, size, number))
            size += (number * width + 7) >> 3
            open_ = True
        if open_:
            self._close(size, here)

    def _close(self, size: int, here: list[tuple[int, int, int]]) -> None:
        self.steps.append((-1, size, len(self.wanted)))
        self.wanted.append(here)


def walk_rows(
    data: Bytes, at: int, limit: int, masks: int, bits: Ints, fixed: Ints, slots: Ints, starts: Ints, counts: Ints
) -> tuple[int, int, int]:
    """Find the fields of rows (VOTable 1.5, sections 5.3 and 5.4)."""
    most, last, size = starts.shape[1], starts.shape[0] - 1, data.size
    row = 0
    if at < 0 or masks < 0 or masks > size:
        return row, max(0, min(at, size)), -2
    text, plan = data.tobytes(), _Rows(bits, fixed, slots)
    while row < most:
        if at >= limit or at >= size:
            return row, at, -1
        first = at
        at += masks
        if at > size:
            return row, first, -2
        for k, width, slot in plan.steps:
            if k < 0:
                if width > size - at:
                    return row, first, -2
                for wanted, inside, number in plan.wanted[slot]:
                    starts[wanted, row], counts[wanted, row] = at + inside, number
                at += width
                continue
            if at + 4 > size:
                return row, first, -2
            number = _LENGTH.unpack_from(text, at)[0]
            at += 4
            if number < 0:
                return row, first, k
            if width > 0 and number * width > 8 * (size - at):
                return row, first, -2
            if slot >= 0:
                starts[slot, row], counts[slot, row] = at, number
            at += (number * width + 7) >> 3
        starts[last, row] = first
        row += 1
    return row, at, -1


def gather_values(data: Bytes, starts: Ints, size: int, out: Bytes) -> bool:
    """Copy ``size`` bytes from each place; whether they are there, and fill the output."""
    if size < 0 or size > data.size or size * starts.size != out.size:
        return False
    if ((starts < 0) | (starts > data.size - size)).any():
        return False
    out.reshape(starts.size, size)[:] = data[starts[:, None] + np.arange(size)]
    return True


def gather_ranges(data: Bytes, starts: Ints, sizes: Ints, out: Bytes) -> bool:
    """Copy as many bytes as are asked for from each place; whether they are there, and fill the output."""
    return copy_ranges(data, starts, sizes, out)


def scatter_ranges(data: Bytes, sizes: Ints, places: Ints, out: Bytes) -> bool:
    """Copy consecutive ranges of the data to places; whether there is room for them, and as many data."""
    sizes = sizes[: places.size]
    if ((sizes < 0) | (sizes > data.size) | (sizes > out.size) | (places < 0)).any():
        return False
    if (places > out.size - sizes).any() or sum(sizes.tolist()) != data.size:
        return False
    at = 0
    for to, size in zip(places.tolist(), sizes.tolist(), strict=True):
        out[to : to + size] = data[at : at + size]
        at += size
    return True
