"""Pixels whose samples lie together (``INTERLEAVE=PIXEL``), to bands."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

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
    if _lie_together(pixels) and out.strides[2] == out.itemsize and min(out.strides) > 0:
        ways.announce("interleaved", pixels.nbytes)
        kernels = ways.find_kernels("bands")
        if kernels is not None:
            _split(kernels, pixels, out)
            return
    # Band by band is faster than one transposed copy.
    for band in range(out.shape[0]):
        np.copyto(out[band], pixels[..., band], casting="equiv")


def _lie_together(pixels: Array) -> bool:
    """Whether there is a loop for such pixels: for those that images of one and two bytes a sample mostly have."""
    size = pixels.itemsize
    samples = pixels.shape[2]
    return (
        samples in (3, 4)
        and size <= 2
        and pixels.strides[1:] == (samples * size, size)
        and pixels.strides[0] > 0
        and pixels.dtype.isnative
        and pixels.size > 0
    )


def _split(kernels: ModuleType, pixels: Array, out: Array) -> None:
    word = np.dtype(f"u{out.itemsize}")
    pitch, band_step, row_step = (n // word.itemsize for n in (pixels.strides[0], *out.strides[:2]))
    source, target = _flat(pixels.view(word), writeable=False), _flat(out.view(word), writeable=True)
    kernels.split_bands(source, pitch, target, band_step, row_step, np.array(pixels.shape, np.int64))


def _flat(array: Array, *, writeable: bool) -> Array:
    """All memory from the first value to the last; strides are positive, so that nothing lies outside."""
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        flat.flags.writeable = writeable  # the kernel is compiled for one kind of array each
        return flat
    span = 1 + sum((n - 1) * (step // array.itemsize) for n, step in zip(array.shape, array.strides, strict=True))
    return as_strided(array, (span,), (array.itemsize,), writeable=writeable)
