"""The floating point predictor by NumPy: what :func:`scichunk.codecs.float_predictor.undo_predictor` does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["undo_predictor"]


def undo_predictor(rows: npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None:
    """Undo byte differences and put words together from planes of bytes, the most significant first.

    Parameters
    ----------
    rows, out
        Shapes (rows, columns * samples * itemsize) and (rows, columns, samples), unsigned integers of the float's width.
    """
    height, width, samples = out.shape
    size = out.dtype.itemsize
    if not height or not width or not samples:
        return
    summed = np.add.accumulate(rows.reshape(height, size * width, samples), axis=1, dtype=np.uint8)
    planes = summed.reshape(height, size, width, samples)
    words = np.empty((height, width, samples, size), np.uint8)
    words[...] = planes.transpose(0, 2, 3, 1)
    out[...] = words.view(f">u{size}")[..., 0]
