"""PLIO decoding of FITS tiles (FITS 4.0, section 10.4.3): a stand-in for :mod:`scichunk.codecs.plio`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["decode_plio"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def decode_plio(
    data: Bytes, offsets: Ints, lengths: Ints, places: Ints, counts: Ints, out: npt.NDArray[Any], status: Ints
) -> None:
    """Decode tiles."""
    for t in range(offsets.size):
        begin, size, first, count = (int(table[t]) for table in (offsets, lengths, places, counts))
        inside = 0 <= size <= data.size and 0 <= begin <= data.size - size
        inside = inside and 0 <= count <= out.size and 0 <= first <= out.size - count
        good = inside and _tile(data[begin : begin + size], out[first : first + count])
        status[t] = 0 if good else 1


def _tile(tile: Bytes, out: npt.NDArray[Any]) -> bool:
    """One line list; whether it is sound."""
    words = tile[: tile.size // 2 * 2].view(">i2").tolist()
    if len(words) < 3:
        return False
    if words[2] > 0:  # the old header of 3 words: length in the third
        length, at = words[2], 3
    elif len(words) < 7:
        return False
    else:
        length, at = (words[4] << 15) + words[3], words[1]
    if length > len(words) or at < 3:
        return False
    value, x, size = 1, 0, out.size
    values = np.zeros(size, np.int64)
    while at < length and x < size:
        code, number = (words[at] & 0xFFFF) >> 12, words[at] & 4095
        at += 1
        if code == 1:  # set the value, high part in the next word
            if at >= length:
                return False
            value = (words[at] << 12) + number
            at += 1
        elif code in {2, 6}:
            value += number
        elif code in {3, 7}:
            value -= number
        elif code not in {0, 4, 5}:
            return False
        if code in {6, 7}:  # change the value and emit one pixel
            values[x] = value
            x += 1
        elif code in {0, 4, 5}:  # a run of zeros, of the value, or of zeros with the value at its end
            stop = x + number
            if code == 4:
                values[x : min(stop, size)] = value
            elif code == 5 and 0 < stop <= size and number > 0:
                values[stop - 1] = value
            x = min(stop, size)
    out[:] = values.astype(out.dtype)
    return True
