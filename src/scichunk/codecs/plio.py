"""PLIO decoding of FITS tiles (FITS 4.0, section 10.4.3: IRAF pixel lists), compiled by numba on first use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Int, inner_kernel, kernel

__all__ = ["decode_plio"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@inner_kernel
def _read_word(src: Bytes, i: Int) -> Int:
    """Big-endian signed 16-bit word."""
    value = (np.int64(src[2 * i]) << 8) | np.int64(src[2 * i + 1])
    return value - 65536 if value >= 32768 else value


@inner_kernel
def _decode_tile(src: Bytes, out: npt.NDArray[Any]) -> Int:
    """Decode one line list; returns 0, or 1 if it is malformed."""
    words = src.size // 2
    if words < 3:
        return 1
    if _read_word(src, np.int64(2)) > 0:  # the old header of 3 words: length in the third
        length, ip = _read_word(src, np.int64(2)), 3
    else:
        if words < 7:
            return 1
        length, ip = (_read_word(src, np.int64(4)) << 15) + _read_word(src, np.int64(3)), _read_word(src, np.int64(1))
    if length > words or ip < 3:
        return 1
    value, x, size = np.int64(1), 0, out.size
    for i in range(size):
        out[i] = 0
    while ip < length and x < size:
        word = _read_word(src, ip) & 0xFFFF
        code, data = word >> 12, word & 4095
        ip += 1
        if code == 1:  # set the value, high part in the next word
            if ip >= length:
                return 1
            value = (_read_word(src, ip) << 12) + data
            ip += 1
        elif code == 2:
            value += data
        elif code == 3:
            value -= data
        elif code in (6, 7):  # change the value and emit one pixel
            value = value + data if code == 6 else value - data
            out[x] = value
            x += 1
        elif code in (0, 4, 5):  # a run of zeros, of the value, or of zeros with the value at its end
            stop = x + data
            if code == 4:
                for i in range(x, min(stop, size)):
                    out[i] = value
            elif code == 5 and 0 < stop <= size and data > 0:
                out[stop - 1] = value
            x = min(stop, size)
        else:
            return 1
    return 0


@kernel
def decode_plio(
    data: Bytes, offsets: Ints, lengths: Ints, targets: Ints, counts: Ints, out: npt.NDArray[Any], status: Ints
) -> None:
    """Decode tiles; arguments as in :func:`scichunk.codecs.rice.decode_rice`."""
    for t in range(offsets.size):
        status[t] = 1
        begin, first, size, count = offsets[t], targets[t], lengths[t], counts[t]
        # Differences, since sums of numbers near 2**63 wrap around and then seem to lie inside.
        inside = 0 <= size <= data.size and 0 <= begin <= data.size - size
        if inside and 0 <= count <= out.size and 0 <= first <= out.size - count:
            status[t] = _decode_tile(data[begin : begin + size], out[first : first + count])
