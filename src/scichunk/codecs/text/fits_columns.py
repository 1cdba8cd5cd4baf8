"""Texts and arrays of variable length from rows of bytes, compiled by numba on first use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import inner_kernel, kernel

__all__ = ["gather_elements", "reverse_bits", "trim_rows", "trim_texts", "widen_texts"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
_MOST = (1 << 31) - 1  # where texts may end


@inner_kernel
def _lies_inside(data: Bytes, width: int, offset: int, size: int, rows: int) -> bool:
    """Whether the field of every row lies within the row and the data."""
    if offset < 0 or size < 0 or size > width or offset > width - size:  # no sum or product here may wrap around
        return False
    if rows == 0 or width == 0:
        return True
    if offset + size > data.size:
        return False
    return rows - 1 <= (data.size - offset - size) // width


@inner_kernel
def _trim_text(data: Bytes, first: int, n: int, out: Bytes, at: int) -> int:
    """Copy one text up to a NUL; its length without trailing blanks, or -1 if it holds more than ASCII."""
    last, seen = 0, np.uint8(0)
    for i in range(n):
        byte = data[first + i]
        if byte == 0:
            break
        out[at + i] = byte
        seen |= byte
        if byte != 32:
            last = i + 1
    return -1 if seen & 128 else last


@kernel
def trim_rows(
    data: Bytes, width: int, offset: int, count: int, size: int, out: Bytes, ends: npt.NDArray[np.int32], at: int
) -> int:
    """Append ``count`` texts of ``size`` bytes from each row to ``out`` from ``at`` on; ``ends`` gets where each ends.

    Texts end at a NUL and have no trailing blanks.

    Returns
    -------
    int
        Where the last ends; -1 if a text holds more than ASCII, -2 if the field lies outside the rows, or texts could end beyond ``_MOST``.
    """
    rows = ends.size // max(1, count)
    if count > 0 and size > width // count:  # their product may wrap around
        return -2
    if not _lies_inside(data, width, offset, count * size, rows) or not 0 <= at <= out.size:
        return -2
    if rows * count * size > min(out.size, _MOST) - at:  # the product is that of bytes which are there
        return -2
    for r in range(rows):
        for t in range(count):
            n = _trim_text(data, r * width + offset + t * size, size, out, at)
            if n < 0:
                return -1
            at += n
            ends[r * count + t] = at
    return at


@kernel
def trim_texts(data: Bytes, starts: Ints, lengths: Ints, out: Bytes, ends: npt.NDArray[np.int32]) -> int:
    """Append texts as :func:`trim_rows` does, of texts that begin at ``starts`` and have up to ``lengths`` bytes."""
    at = 0
    for t in range(starts.size):
        first, n = starts[t], lengths[t]
        if first < 0 or n < 0 or n > data.size or first > data.size - n or n > out.size - at:  # sums may wrap around
            return -2
        n = _trim_text(data, first, n, out, at)
        if n < 0:
            return -1
        at += n
        ends[t] = at
    return at


@kernel
def widen_texts(data: Bytes, width: int, offset: int, size: int, out: npt.NDArray[np.uint32]) -> int:
    """Widen texts of ``size`` bytes to ``out[row, text, character]``: up to a NUL, without trailing blanks.

    Rows lie one after another in ``data``, each ``width`` bytes long; the first text begins at byte ``offset`` of each.

    Returns
    -------
    int
        0; -1 if a text holds more than ASCII, -2 if the field lies outside the data.
    """
    rows, n, most = out.shape
    if size > most or not _lies_inside(data, width, offset, n * size, rows):
        return -2
    for r in range(rows):
        for t in range(n):
            at = r * width + offset + t * size
            last, seen = 0, np.uint8(0)
            for i in range(size):
                byte = data[at + i]
                if byte == 0:
                    break
                out[r, t, i] = byte
                seen |= byte
                if byte != 32:
                    last = i + 1
            if seen & 128:
                return -1
            for i in range(last, most):
                out[r, t, i] = 0
    return 0


@kernel
def gather_elements(data: Bytes, starts: Ints, counts: Ints, size: int, out: Bytes) -> bool:
    """Copy ``counts[i]`` elements of ``size`` bytes from ``starts[i]`` on, one run after another, reversing their bytes."""
    at = 0
    for r in range(starts.size):
        if size < 1 or counts[r] < 0 or counts[r] > data.size // size:  # the product below may wrap around
            return False
        first, n = starts[r], counts[r] * size
        if first < 0 or first > data.size - n or n > out.size - at:
            return False
        if size == 1:
            for i in range(n):
                out[at + i] = data[first + i]
        # The common sizes have loops of their own, whose lengths the compiler knows.
        elif size == 4:
            for i in range(0, n, 4):
                for b in range(4):
                    out[at + i + b] = data[first + i + 3 - b]
        elif size == 8:
            for i in range(0, n, 8):
                for b in range(8):
                    out[at + i + b] = data[first + i + 7 - b]
        else:
            for i in range(0, n, size):
                for b in range(size):
                    out[at + i + b] = data[first + i + size - 1 - b]
        at += n
    return at == out.size


@kernel
def reverse_bits(data: Bytes, width: int, offset: int, out: npt.NDArray[np.uint8]) -> bool:
    """Copy bytes to ``out[row, byte]`` with their bits in the other order."""
    rows, n = out.shape
    if not _lies_inside(data, width, offset, n, rows):
        return False
    for r in range(rows):
        at = r * width + offset
        for i in range(n):
            byte = np.uint32(data[at + i])
            # Neighbours are swapped, then pairs, then halves: the first bit is the highest in FITS, and the lowest in Arrow.
            byte = ((byte >> 1) & 0x55) | ((byte & 0x55) << 1)
            byte = ((byte >> 2) & 0x33) | ((byte & 0x33) << 2)
            out[r, i] = (byte >> 4) | ((byte & 0x0F) << 4)
    return True
