"""Loops from pixels whose samples lie together to bands, compiled by numba.

NumPy copies a band value by value, one in a cycle of the processor; these loops are made into shuffles of whole registers, since
the number of samples is known when they are compiled. Slices of known length let numba leave out checks within the loops.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from scichunk.codecs._numba import inner_kernel, kernel
from scichunk.codecs.instructions import line_of

__all__ = ["split_bands"]

Values = npt.NDArray[Any]


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
def split_bands(pixels: Values, out: Values) -> bool:
    """Spread pixels of three or four samples over bands.

    Parameters
    ----------
    pixels
        Shape (rows, columns, samples); the values of a row lie together.
    out
        Shape (samples, rows, columns); the values of a row of a band lie together.

    Returns
    -------
    bool
        False if they are not like that; then nothing is done.
    """
    rows, columns, samples = pixels.shape
    size, apart = pixels.itemsize, out.strides
    if out.shape[0] != samples or out.shape[1] != rows or out.shape[2] != columns or (samples != 3 and samples != 4):  # noqa: PLR1714  # numba
        return False
    if pixels.strides[2] != size or pixels.strides[1] != samples * size or apart[2] != size:
        return False
    for y in range(rows):
        line, at = line_of(pixels, y * pixels.strides[0], samples * columns), y * apart[1]
        first, second = line_of(out, at, columns), line_of(out, at + apart[0], columns)
        third = line_of(out, at + 2 * apart[0], columns)
        if samples == 3:
            _split_three(line, first, second, third)
        else:
            _split_four(line, first, second, third, line_of(out, at + 3 * apart[0], columns))
    return True
