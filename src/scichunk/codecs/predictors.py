"""TIFF predictors: horizontal differencing (TIFF 6.0, section 14) and floating point (Adobe technote 3, 2005)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["undo_float", "undo_horizontal"]

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
        Shape (rows, columns * samples * itemsize); destroyed.
    out
        Floats of shape (rows, columns, samples), any strides, native byte order.
    """
    accumulate, unshuffle = _kernels(out.dtype.itemsize)
    accumulate(rows, out.shape[2])
    unshuffle(rows, out.view(f"u{out.dtype.itemsize}"))


@cache
def _kernels(itemsize: int) -> tuple[Callable[[Array, int], None], Callable[[Array, Array], None]]:
    """Compile for one width, on first use; kept on disk by numba."""
    import numba

    from scichunk.codecs import kernels_float

    word = {2: numba.uint16, 4: numba.uint32, 8: numba.uint64}[itemsize]
    function = {2: kernels_float.unshuffle2, 4: kernels_float.unshuffle4, 8: kernels_float.unshuffle8}[itemsize]
    lines = numba.uint8[:, ::1]
    first = numba.njit(numba.void(lines, numba.intp), nogil=True, cache=True)(kernels_float.accumulate)
    second = numba.njit(numba.void(lines, numba.types.Array(word, 3, "A")), nogil=True, cache=True)(function)
    return first, second
