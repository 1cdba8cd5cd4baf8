"""The floating point predictor by imagecodecs and NumPy: what :func:`scichunk.codecs.float_predictor.undo_predictor` does."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer

__all__ = ["undo_predictor"]

_BLOCK_BYTES: Final = 1 << 18
"""Rows that are undone at once: what is made of them on the way stays in the cache of a core (0.6 s/GB; by 64 KiB 0.7 and more)."""


def undo_predictor(rows: npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None:
    """Undo byte differences and put words together from planes of bytes, the most significant first.

    Parameters
    ----------
    rows, out
        Shapes (rows, columns * samples * itemsize) and (rows, columns, samples), unsigned integers of the float's width.
    """
    import imagecodecs

    height, width, samples = out.shape
    size = out.dtype.itemsize
    if not height or not width or not samples:
        return
    line = width * samples * size
    step = min(max(_BLOCK_BYTES // line, 1), height)
    differences = rows.reshape(height, size * width, samples)
    summed = borrow_buffer("planes", step * line).reshape(step, size * width, samples)
    for y in range(0, height, step):
        some = summed[: min(step, height - y)]
        imagecodecs.delta_decode(differences[y : y + step], axis=1, out=some)
        _join_planes(some.reshape(-1, size, width, samples), out[y : y + step])


def _join_planes(planes: npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None:
    """Put words together, from pairs of bytes to pairs of halves, so that most of the work is done on short words."""
    parts: list[npt.NDArray[Any]] = list(planes.swapaxes(0, 1))
    while len(parts) > 1:
        bits = 8 * parts[0].itemsize
        word, last = np.dtype(f"u{bits // 4}"), len(parts) == 2
        parts = [
            np.bitwise_or(np.left_shift(high, bits, dtype=word), low, out=out if last else None)
            for high, low in zip(parts[::2], parts[1::2], strict=True)
        ]
