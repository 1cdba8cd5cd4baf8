"""TIFF predictors: horizontal differencing (TIFF 6.0, section 14) and floating point (Adobe technote 3, 2005)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer
from scichunk.codecs import ways

__all__ = ["compile_float", "undo_float", "undo_horizontal"]

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
    import imagecodecs

    kind = np.dtype(f"u{rows.dtype.itemsize}")
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
    if word.itemsize == 2 or not ways.wants_kernels("float predictor"):  # the kernel is no faster on halves
        from scichunk.codecs.small import float_predictor

        float_predictor.undo_predictor(rows, out.view(word))
        return
    words = borrow_buffer("words", width * samples * word.itemsize).view(word)
    kernel, constants = compile_float(word)
    kernel(rows, words, constants, out.view(word))


@cache
def compile_float(word: np.dtype[Any]) -> tuple[Callable[[Array, Array, Array, Array], None], Array]:
    """Compile for one width, on first use; kept on disk by numba."""
    import numba

    from scichunk.codecs._numba import compiled
    from scichunk.codecs.float_predictor import undo_predictor

    kind = numba.from_dtype(word)
    types = numba.void(numba.uint8[:, ::1], kind[::1], kind[::1], numba.types.Array(kind, 3, "A"))
    constants = np.array([0, 8, 16, int.from_bytes(b"\x00\xff" * (word.itemsize // 2))], word)
    return compiled(undo_predictor, types), constants
