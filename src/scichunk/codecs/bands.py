"""Loops from pixels whose samples lie together to bands, compiled by numba.

NumPy copies a band value by value, one in a cycle of the processor; these loops are made into shuffles of whole registers, since
the number of samples is known when they are compiled. Slices of known length let numba leave out checks within the loops.
"""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt

from scichunk.codecs._numba import Int, inner_kernel, kernel

__all__ = ["split_bands"]

Values = npt.NDArray[Any]
_MOST: Final = 1 << 31


@inner_kernel
def _split_three(line: Values, red: Values, green: Values, blue: Values) -> None:
    for x in range(min(line.size // 3, red.size, green.size, blue.size)):
        red[x] = line[3 * x]
        green[x] = line[3 * x + 1]
        blue[x] = line[3 * x + 2]


@inner_kernel
def _split_four(line: Values, red: Values, green: Values, blue: Values, other: Values) -> None:
    for x in range(min(line.size // 4, red.size, green.size, blue.size, other.size)):
        red[x] = line[4 * x]
        green[x] = line[4 * x + 1]
        blue[x] = line[4 * x + 2]
        other[x] = line[4 * x + 3]


@kernel
def split_bands(pixels: Values, pitch: Int, out: Values, band_step: Int, row_step: Int, shape: Values) -> None:
    """Spread rows of pixels of three or four samples over bands.

    Parameters
    ----------
    pixels, pitch
        All rows, flat, from the first value on, and how far one is from the next. What lies outside is not read.
    out, band_step, row_step
        The bands, flat, and how far one is from the next, and one row from the next. What lies outside is not written.
    shape
        Rows, columns, samples.
    """
    rows, columns, samples = shape[0], shape[1], shape[2]
    if (
        columns < 1 or rows > out.size or pitch < 0 or row_step < 0 or band_step < 0
    ):  # slices would be taken from the end
        return
    if max(rows, columns, pitch, row_step) > _MOST or band_step > _MOST << 28:  # products would wrap around
        return
    for y in range(rows):
        line = pixels[y * pitch : y * pitch + samples * columns]
        at, b = y * row_step, band_step
        first, second, third = (
            out[at : at + columns],
            out[at + b : at + b + columns],
            out[at + 2 * b : at + 2 * b + columns],
        )
        if samples == 3:
            _split_three(line, first, second, third)
        elif samples == 4:
            _split_four(line, first, second, third, out[at + 3 * b : at + 3 * b + columns])
