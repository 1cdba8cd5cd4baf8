"""Fields of binary rows that vary in length, compiled by numba on first use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Flag, Int, inlined, kernel

__all__ = ["gather_ranges", "gather_values", "scatter_ranges", "walk_rows"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@inlined
def _read_length(data: Bytes, at: Int) -> Int:
    """Big-endian signed integer of four bytes."""
    value = (
        np.int64(data[at]) << 24 | np.int64(data[at + 1]) << 16 | np.int64(data[at + 2]) << 8 | np.int64(data[at + 3])
    )
    return value - (np.int64(1) << 32) if value >> 31 else value


@kernel
def walk_rows(
    data: Bytes, at: Int, limit: Int, masks: Int, bits: Ints, fixed: Ints, slots: Ints, starts: Ints, counts: Ints
) -> tuple[Int, Int, Int]:
    """Find the fields of rows (VOTable 1.5, sections 5.3 and 5.4).

    Parameters
    ----------
    data
        Rows.
    at
        Where the first begins.
    limit
        Rows that begin here or later are left.
    masks
        Bytes of null flags before each row.
    bits
        Bits of one element of each field.
    fixed
        Elements of each field; -1 where each row says how many.
    slots
        Row of ``starts`` and ``counts`` for each field; -1 for none. The row behind them gets the place of each row.
    starts, counts
        For places and numbers of elements, shape (wanted + 1, most rows).

    Returns
    -------
    rows, place, bad : int
        ``place`` is where the next row begins; ``bad`` the field with an impossible length, -2 if the data end within a row, or -1.
    """
    most, last = starts.shape[1], starts.shape[0] - 1
    row = 0
    if at < 0 or masks < 0 or masks > data.size:
        return row, max(0, min(at, data.size)), -2
    while row < most:
        if at >= limit or at >= data.size:
            return row, at, -1
        first = at
        at += masks
        if at > data.size:
            return row, first, -2
        for k in range(fixed.size):
            number = fixed[k]
            if number < 0:
                if at + 4 > data.size:
                    return row, first, -2
                number = _read_length(data, at)
                at += 4
                if number < 0:
                    return row, first, k
            # The product of two numbers from the file may wrap around, so what is left of the data is divided instead.
            if bits[k] > 0 and number > 8 * (data.size - at) // bits[k]:
                return row, first, -2
            size = (number * bits[k] + 7) >> 3
            if slots[k] >= 0:
                starts[slots[k], row], counts[slots[k], row] = at, number
            at += size
        starts[last, row] = first
        row += 1
    return row, at, -1


@kernel
def gather_values(data: Bytes, starts: Ints, size: Int, out: Bytes) -> Flag:
    """Copy ``size`` bytes from each place; whether they are there, and fill the output."""
    if size < 0 or size > data.size or size * starts.size != out.size:
        return False
    to = 0
    for i in range(starts.size):
        at = starts[i]
        if at < 0 or at > data.size - size:
            return False
        for k in range(size):
            out[to + k] = data[at + k]
        to += size
    return True


@kernel
def gather_ranges(data: Bytes, starts: Ints, sizes: Ints, out: Bytes) -> Flag:
    """Copy as many bytes as are asked for from each place; whether they are there, and fill the output."""
    to = 0
    for i in range(starts.size):
        at, size = starts[i], sizes[i]
        # Differences, since sums of numbers near 2**63 wrap around and then seem to lie inside.
        if size < 0 or size > data.size or at < 0 or at > data.size - size or size > out.size - to:
            return False
        for k in range(size):
            out[to + k] = data[at + k]
        to += size
    return to == out.size


@kernel
def scatter_ranges(data: Bytes, sizes: Ints, targets: Ints, out: Bytes) -> Flag:
    """Copy consecutive ranges of the data to places; whether there is room for them, and as many data."""
    at = 0
    for i in range(targets.size):
        to, size = targets[i], sizes[i]
        if size < 0 or size > data.size - at or size > out.size or to < 0 or to > out.size - size:
            return False
        for k in range(size):
            out[to + k] = data[at + k]
        at += size
    return at == data.size
