"""Pixels whose samples lie together (``INTERLEAVE=PIXEL``), to bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways

__all__ = ["place_bands"]

Array = npt.NDArray[Any]


def place_bands(pixels: Array, out: Array) -> None:
    """Copy pixels to bands, whatever the strides of either.

    Parameters
    ----------
    pixels
        Shape (rows, columns, samples), any byte order.
    out
        Shape (samples, rows, columns), of that type in native order.
    """
    # There is a loop for what images of one and two bytes a sample mostly are.
    if pixels.shape[2] in (3, 4) and pixels.itemsize <= 2 and pixels.size and pixels.dtype.isnative:
        ways.announce("interleaved", pixels.nbytes)
        kernels = ways.find_kernels("bands")
        word = "u1" if pixels.itemsize == 1 else "u2"
        if kernels is not None and kernels.split_bands(pixels.view(word), out.view(word)) is True:
            return
    # Band by band is faster than one transposed copy.
    for band in range(out.shape[0]):
        np.copyto(out[band], pixels[..., band], casting="equiv")
