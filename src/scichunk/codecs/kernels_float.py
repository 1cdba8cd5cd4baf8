"""Loops of the floating point predictor, compiled by numba on first use.

Slices and running sums instead of indices that could be negative: numba then leaves out its checks for wrap-around, which
makes the loops five times faster. Everything is bounded by the arrays' own shapes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["accumulate", "unshuffle2", "unshuffle4", "unshuffle8"]

Rows = npt.NDArray[np.uint8]


def accumulate(rows: Rows, samples: int) -> None:
    """Add up bytes along each row in place, every ``samples``-th to its like, modulo 256."""
    for y in range(rows.shape[0]):
        row = rows[y]
        if samples == 1:  # a constant stride of one is worth its own loop
            total = np.uint8(0)
            for i in range(len(row)):
                total = np.uint8(total + row[i])
                row[i] = total
        else:
            for s in range(samples):
                total = np.uint8(0)
                for i in range(s, len(row), samples):
                    total = np.uint8(total + row[i])
                    row[i] = total


def unshuffle2(rows: Rows, out: npt.NDArray[np.uint16]) -> None:
    """Put half floats together from planes of bytes, the most significant first."""
    height, width, samples = out.shape
    n = width * samples
    if rows.shape[0] < height or rows.shape[1] < 2 * n:
        return
    for y in range(height):
        high, low = rows[y, :n], rows[y, n : 2 * n]
        for s in range(samples):
            line = out[y, :, s]
            for x in range(width):
                i = x * samples + s
                line[x] = (np.uint16(high[i]) << np.uint16(8)) | np.uint16(low[i])


def unshuffle4(rows: Rows, out: npt.NDArray[np.uint32]) -> None:
    """Put single floats together."""
    height, width, samples = out.shape
    n = width * samples
    if rows.shape[0] < height or rows.shape[1] < 4 * n:
        return
    for y in range(height):
        b3, b2, b1, b0 = rows[y, :n], rows[y, n : 2 * n], rows[y, 2 * n : 3 * n], rows[y, 3 * n : 4 * n]
        for s in range(samples):
            line = out[y, :, s]
            for x in range(width):
                i = x * samples + s
                high = (np.uint32(b3[i]) << np.uint32(24)) | (np.uint32(b2[i]) << np.uint32(16))
                line[x] = high | (np.uint32(b1[i]) << np.uint32(8)) | np.uint32(b0[i])


def unshuffle8(rows: Rows, out: npt.NDArray[np.uint64]) -> None:
    """Put double floats together."""
    height, width, samples = out.shape
    n = width * samples
    if rows.shape[0] < height or rows.shape[1] < 8 * n:
        return
    for y in range(height):
        for s in range(samples):
            line = out[y, :, s]
            for x in range(width):
                line[x] = 0
            for b in range(8):
                plane = rows[y, b * n : (b + 1) * n]
                for x in range(width):
                    line[x] = (line[x] << np.uint64(8)) | np.uint64(plane[x * samples + s])
