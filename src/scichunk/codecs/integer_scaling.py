"""Scaling of plain FITS images in one pass over the bytes, compiled by numba on first use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import kernel
from scichunk.codecs.instructions import swap_bytes

__all__ = ["flip_bit", "scale_integers"]

Values = npt.NDArray[Any]


@kernel
def flip_bit(stored: Values, flip: Any, out: Values) -> None:
    """Put integers in native byte order, with the bits of ``flip`` turned."""
    for i in range(min(stored.size, out.size)):
        out[i] = swap_bytes(stored[i]) ^ flip


@kernel
def scale_integers(stored: Values, scale: Any, zero: Any, blank: Any, has_blank: bool, out: Values) -> None:
    """Put integers as ``value * scale + zero``, in the precision of the output, which is that of scale and zero.

    ``blank`` becomes NaN; it is compared as it is stored.
    """
    for i in range(min(stored.size, out.size)):
        value = out.dtype.type(swap_bytes(stored[i])) * scale
        out[i] = np.nan if has_blank and stored[i] == blank else value + zero
