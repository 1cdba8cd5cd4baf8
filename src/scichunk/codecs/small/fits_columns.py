"""Texts and arrays of variable length from rows of bytes, by NumPy: a stand-in for :mod:`scichunk.codecs.text.fits_columns`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.small.ranges import copy_ranges

__all__ = ["gather_elements", "reverse_bits", "trim_rows", "trim_texts", "widen_texts"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_MOST: Final = (1 << 31) - 1
"""Where texts may end."""
_REVERSED: Final = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]


def _field(data: Bytes, width: int, offset: int, size: int, rows: int) -> Bytes | None:
    """The field of every row, shape (rows, size); None if it does not lie within the row and the data."""
    if offset < 0 or size < 0 or size > width or offset > width - size:
        return None
    if rows == 0 or width == 0:
        return np.empty((rows, size), np.uint8)
    if (rows - 1) * width + offset + size > data.size:
        return None
    view: Bytes = np.ndarray((rows, size), np.uint8, np.ascontiguousarray(data), offset, (width, 1))
    return view


def _ends(cells: Bytes) -> tuple[Ints, bool]:
    """Length of each text up to a NUL and without trailing blanks, shape (texts, bytes) to (texts,); whether all are of ASCII."""
    size = cells.shape[1]
    before = np.logical_and.accumulate(cells != 0, axis=1)
    plain = not (before & (cells > 127)).any()
    kept = before & (cells != 32)
    lengths = np.where(kept.any(axis=1), size - kept[:, ::-1].argmax(axis=1), 0) if size else np.zeros(len(cells))
    return lengths.astype(np.int64), plain


def _append(cells: Bytes, out: Bytes, ends: npt.NDArray[np.int32], at: int) -> int:
    lengths, plain = _ends(cells)
    if not plain:
        return -1
    total = int(lengths.sum())
    if total > out.size - at:
        return -2
    out[at : at + total] = cells[np.arange(cells.shape[1]) < lengths[:, None]]
    ends[: lengths.size] = at + np.cumsum(lengths)
    return at + total


def trim_rows(
    data: Bytes, width: int, offset: int, count: int, size: int, out: Bytes, ends: npt.NDArray[np.int32], at: int
) -> int:
    """Append ``count`` texts of ``size`` bytes from each row to ``out``; where the last ends, -1: not ASCII, -2: outside."""
    rows = ends.size // max(1, count)
    if count > 0 and size > width // count:
        return -2
    field = _field(data, width, offset, count * size, rows)
    if field is None or not 0 <= at <= out.size or rows * count * size > min(out.size, _MOST) - at:
        return -2
    return _append(field.reshape(rows * count, size), out, ends, at) if count > 0 else at


def trim_texts(data: Bytes, starts: Ints, lengths: Ints, out: Bytes, ends: npt.NDArray[np.int32]) -> int:
    """As :func:`trim_rows`, of texts that begin at ``starts`` and have up to ``lengths`` bytes."""
    text, at, pieces = data.tobytes(), 0, []
    for t, (first, n) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        if first < 0 or n < 0 or first > data.size - n or n > out.size - at:
            return -2
        piece = text[first : first + n].split(b"\0", 1)[0]
        if not piece.isascii():
            return -1
        pieces.append(piece.rstrip(b" "))
        at += len(pieces[-1])
        ends[t] = at
    out[:at] = np.frombuffer(b"".join(pieces), np.uint8)
    return at


def widen_texts(data: Bytes, width: int, offset: int, size: int, out: npt.NDArray[np.uint32]) -> int:
    """Widen texts of ``size`` bytes to ``out[row, text, character]``; 0, -1: not ASCII, -2: outside."""
    rows, n, most = out.shape
    field = _field(data, width, offset, n * size, rows) if size <= most else None
    if field is None:
        return -2
    if not n:
        return 0
    cells = field.reshape(rows * n, size)
    lengths, plain = _ends(cells)
    if not plain:
        return -1
    out[:, :, size:] = 0
    out[:, :, :size] = np.where(np.arange(size) < lengths[:, None], cells, 0).reshape(rows, n, size)
    return 0


def gather_elements(data: Bytes, starts: Ints, counts: Ints, size: int, out: Bytes) -> bool:
    """Copy ``counts[i]`` elements of ``size`` bytes from ``starts[i]`` on, one run after another, reversing their bytes."""
    if not starts.size:
        return out.size == 0
    if size < 1 or ((counts < 0) | (counts > data.size // size)).any():
        return False
    copied: Any = np.empty_like(out)
    if not copy_ranges(data, starts, counts * size, copied):
        return False
    out[:] = copied.reshape(-1, size)[:, ::-1].reshape(-1)
    return True


def reverse_bits(data: Bytes, width: int, offset: int, out: npt.NDArray[np.uint8]) -> bool:
    """Copy bytes to ``out[row, byte]`` with their bits in the other order."""
    rows, n = out.shape
    field = _field(data, width, offset, n, rows)
    if field is None:
        return False
    out[:] = _REVERSED[field]
    return True
