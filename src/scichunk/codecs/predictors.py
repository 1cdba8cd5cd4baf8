"""TIFF predictors: horizontal differencing (TIFF 6.0, section 14) and floating point (Adobe technote 3, 2005)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer
from scichunk.codecs import ways

__all__ = ["predictor_constants", "undo_float", "undo_horizontal"]

Array = npt.NDArray[Any]


def undo_horizontal(rows: Array, out: Array) -> None:
    """Add up differences along axis 1, modulo the width of the integers.

    Parameters
    ----------
    rows
        Shape (rows, columns, samples), native byte order; floats are treated as integers of their width.
    out
        Same shape, any strides.
    """
    kind = np.dtype(f"u{rows.dtype.itemsize}")
    if rows.shape[2] == 1 and kind.itemsize <= 4 and rows.size:
        ways.announce("horizontal predictor", rows.nbytes)
        kernels = ways.find_kernels("differences")
        if kernels is not None and kernels.undo_differences(rows.view(kind), out.view(kind)) is True:
            return
    import imagecodecs

    imagecodecs.delta_decode(rows.view(kind), axis=1, out=out.view(kind))


def undo_float(rows: npt.NDArray[np.uint8], out: Array) -> None:
    """Add up byte differences along each row and put the bytes, stored by significance, together again.

    Parameters
    ----------
    rows
        Shape (rows, columns * samples * itemsize).
    out
        Floats of shape (rows, columns, samples), any strides, native byte order.
    """
    _, width, samples = out.shape
    word = np.dtype(f"u{out.dtype.itemsize}")
    ways.announce("float predictor", rows.nbytes)
    # The kernel is no faster on halves.
    kernels = ways.find_kernels("float_predictor") if word.itemsize > 2 else None
    if kernels is not None:
        words = borrow_buffer("words", width * samples * word.itemsize).view(word)
        if kernels.undo_predictor(rows, words, predictor_constants(word), out.view(word)) is None:
            return
    from scichunk.codecs.small import float_predictor

    float_predictor.undo_predictor(rows, out.view(word))


@cache
def predictor_constants(word: np.dtype[Any]) -> Array:
    """Make what :func:`scichunk.codecs.float_predictor.undo_predictor` wants of a type."""
    return np.array([0, 8, 16, int.from_bytes(b"\x00\xff" * (word.itemsize // 2))], word)
