"""Loops of the floating point predictor, compiled by numba on first use. Indices are bounded by the arrays' own shapes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["unshuffle2", "unshuffle4", "unshuffle8"]

Rows = npt.NDArray[np.uint8]


def unshuffle2(rows: Rows, out: npt.NDArray[np.uint16]) -> None:
    """Undo the predictor for half floats."""
    height, width, samples = out.shape
    n = width * samples
    if rows.shape[0] < height or rows.shape[1] < 2 * n:
        return
    for y in range(height):
        row = rows[y]
        for i in range(samples, 2 * n):
            row[i] += row[i - samples]
        i = 0
        for x in range(width):
            for s in range(samples):
                out[y, x, s] = (np.uint16(row[i]) << 8) | np.uint16(row[n + i])
                i += 1


def unshuffle4(rows: Rows, out: npt.NDArray[np.uint32]) -> None:
    """Undo the predictor for single floats."""
    height, width, samples = out.shape
    n = width * samples
    if rows.shape[0] < height or rows.shape[1] < 4 * n:
        return
    for y in range(height):
        row = rows[y]
        for i in range(samples, 4 * n):
            row[i] += row[i - samples]
        i = 0
        for x in range(width):
            for s in range(samples):
                out[y, x, s] = (
                    (np.uint32(row[i]) << np.uint32(24))
                    | (np.uint32(row[n + i]) << np.uint32(16))
                    | (np.uint32(row[2 * n + i]) << np.uint32(8))
                    | np.uint32(row[3 * n + i])
                )
                i += 1


def unshuffle8(rows: Rows, out: npt.NDArray[np.uint64]) -> None:
    """Undo the predictor for double floats."""
    height, width, samples = out.shape
    n = width * samples
    if rows.shape[0] < height or rows.shape[1] < 8 * n:
        return
    for y in range(height):
        row = rows[y]
        for i in range(samples, 8 * n):
            row[i] += row[i - samples]
        i = 0
        for x in range(width):
            for s in range(samples):
                word = np.uint64(0)
                for b in range(8):
                    word = (word << np.uint64(8)) | np.uint64(row[b * n + i])
                out[y, x, s] = word
                i += 1
