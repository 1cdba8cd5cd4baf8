"""Loop of the floating point predictor, compiled by numba on first use.

The bytes of a row are one running sum, so each byte waits for the one before. Here the planes of bytes are first put together
to words, and all planes are summed at once, as fields of a word with room for the carry: four or eight chains in one. Each
plane starts with the sum of the planes before it. Slices instead of indices that could be negative let numba leave out its
checks for wrap-around. Everything is bounded by the arrays' own shapes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import kernel

__all__ = ["undo_predictor"]

Words = npt.NDArray[Any]


@kernel
def undo_predictor(rows: npt.NDArray[np.uint8], words: Words, consts: Words, out: Words) -> None:
    """Undo byte differences and put floats together from planes of bytes, the most significant first.

    Parameters
    ----------
    rows, out
        Shapes (rows, columns * samples * itemsize) and (rows, columns, samples), unsigned integers of the float's width.
    words
        Scratch of columns * samples such integers.
    consts
        Of that type: 0, 8, 16, and every other byte set (0x00ff...).
    """
    height, width, samples = out.shape
    n = width * samples
    size = rows.shape[1] // max(n, 1)
    if size != 2 and size != 4 and size != 8:  # noqa: PLR1714  # numba
        return
    if rows.shape[0] < height or words.shape[0] < n or consts.shape[0] < 4:
        return
    zero, eight, sixteen, mask = consts[0], consts[1], consts[2], consts[3]
    for y in range(height):
        row = rows[y]
        if size == 2:
            p1, p0 = row[:n], row[n : 2 * n]
            for i in range(n):
                words[i] = ((zero | p1[i]) << eight) | p0[i]
        else:
            for b in range(0, size, 4):
                p3, p2 = row[b * n : (b + 1) * n], row[(b + 1) * n : (b + 2) * n]
                p1, p0 = row[(b + 2) * n : (b + 3) * n], row[(b + 3) * n : (b + 4) * n]
                for i in range(n):
                    top = ((zero | p3[i]) << eight) | p2[i]
                    low = ((zero | p1[i]) << eight) | p0[i]
                    words[i] = ((words[i] if b else zero) << sixteen << sixteen) | (top << sixteen) | low
        # Samples of a pixel follow each other within a plane, so differences are taken to the same sample of the pixel before.
        for s in range(samples):
            even, odd, total = zero, zero, np.uint8(0)
            if samples == 1:
                for b in range(size - 1):
                    for byte in row[b * n : (b + 1) * n]:
                        total = np.uint8(total + byte)
                    k = eight * np.uint8(size - 2 - b)  # bits below the field of plane b + 1
                    if (size - b) % 2:
                        odd = odd | ((zero | total) << (k - eight))
                    else:
                        even = even | ((zero | total) << k)
            else:
                for word in words[s:n:samples]:
                    even = (even + (word & mask)) & mask
                    odd = (odd + ((word >> eight) & mask)) & mask
                sums, even, odd = even | (odd << eight), zero, zero
                for b in range(size - 1):
                    total = np.uint8(total + np.uint8((sums >> (eight * np.uint8(size - 1 - b))) & np.uint8(255)))
                    k = eight * np.uint8(size - 2 - b)
                    if (size - b) % 2:
                        odd = odd | ((zero | total) << (k - eight))
                    else:
                        even = even | ((zero | total) << k)
            line, mine = out[y, :, s], words[s:n:samples]
            for x in range(width):
                even = (even + (mine[x] & mask)) & mask
                odd = (odd + ((mine[x] >> eight) & mask)) & mask
                line[x] = even | (odd << eight)
