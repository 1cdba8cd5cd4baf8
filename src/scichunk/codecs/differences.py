"""Loop of the horizontal predictor for images of one sample, compiled by numba.

Each value is a sum of all before it, so values one by one wait for each other. Here those of a vector are summed among themselves
in a few steps, which waits for nothing, and the sum of the vectors before is added to all of them at once.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from scichunk.codecs._numba import kernel
from scichunk.codecs.instructions import count_lanes, line_of, sum_lanes

__all__ = ["undo_differences"]

Values = npt.NDArray[Any]


@kernel
def undo_differences(rows: Values, out: Values) -> bool:
    """Add up differences along rows, modulo the width of the integers.

    Parameters
    ----------
    rows, out
        Shape (rows, columns, 1); the values of a row lie together.

    Returns
    -------
    bool
        False if they are not like that; then nothing is done.
    """
    height, width, samples = rows.shape
    size = rows.itemsize
    if samples != 1 or out.shape[0] != height or out.shape[1] != width or out.shape[2] != 1:
        return False
    if rows.strides[1] != size or out.strides[1] != size:
        return False
    lanes = count_lanes(rows)
    for y in range(height):
        line, target = line_of(rows, y * rows.strides[0], width), line_of(out, y * out.strides[0], width)
        total, at = line.dtype.type(0), 0
        while at + lanes <= width:
            total = sum_lanes(line, at, target, total)
            at += lanes
        for x in range(at, width):
            total = line.dtype.type(total + line[x])
            target[x] = total
    return True
