"""Rice decoding of FITS tiles (FITS 4.0, section 10.4.1), compiled by numba on first use.

All tiles of a batch in one call without the GIL. Bits are taken from the top of a 64-bit word; behind the end of a tile there
are zeros, and what was taken of them is counted: a stream that is too short is an error, never a read beyond the buffer.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["decode", "leading_zeros"]


def leading_zeros() -> np.ndarray:
    """Table of the zero bits above the highest set bit of a byte."""
    return np.array([8 - int(value).bit_length() for value in range(256)], np.uint8)


@njit(nogil=True, cache=True)
def _refill(src, pos, acc, bits):
    """Add 32 bits below those that are left; returns the new position and word."""
    if pos + 4 <= src.size:
        word = (
            (np.uint64(src[pos]) << np.uint64(24))
            | (np.uint64(src[pos + 1]) << np.uint64(16))
            | (np.uint64(src[pos + 2]) << np.uint64(8))
            | np.uint64(src[pos + 3])
        )
    else:
        word = np.uint64(0)
        for i in range(4):
            word = (word << np.uint64(8)) | (np.uint64(src[pos + i]) if pos + i < src.size else np.uint64(0))
    return pos + 4, acc | (word << np.uint64(32 - bits))


@njit(nogil=True, cache=True)
def _tile(src, block, size, zeros, out):
    """One tile; returns 0, or 1 if the stream is too short."""
    width = 8 * size
    fs_bits = 5 if size == 4 else (4 if size == 2 else 3)
    fs_max = 25 if size == 4 else (14 if size == 2 else 6)
    mask = (np.int64(1) << width) - 1
    sign = np.int64(0) if size == 1 else np.int64(1) << (width - 1)
    if src.size < size:
        return 1
    last = np.int64(0)
    for i in range(size):
        last = (last << 8) | np.int64(src[i])
    pos, acc, bits = size, np.uint64(0), 0
    taken = 8 * size
    for first in range(0, out.size, block):
        if bits < 32:
            pos, acc = _refill(src, pos, acc, bits)
            bits += 32
        fs = np.int64(acc >> np.uint64(64 - fs_bits)) - 1
        acc <<= np.uint64(fs_bits)
        bits -= fs_bits
        taken += fs_bits
        if taken > 8 * src.size:
            return 1
        pixels = out[first : first + block]
        if fs < 0:
            pixels[:] = (last ^ sign) - sign
            continue
        for i in range(pixels.size):
            if bits < 32:
                pos, acc = _refill(src, pos, acc, bits)
                bits += 32
            if fs == fs_max:
                diff = np.int64(acc >> np.uint64(64 - width))
                acc <<= np.uint64(width)
                bits -= width
                taken += width
            else:
                nonzero = 0
                while acc >> np.uint64(56) == np.uint64(0):
                    acc <<= np.uint64(8)
                    bits -= 8
                    nonzero += 8
                    if bits < 32:
                        pos, acc = _refill(src, pos, acc, bits)
                        bits += 32
                    if taken + nonzero > 8 * src.size:
                        return 1
                top = np.int64(zeros[np.int64(acc >> np.uint64(56))])
                nonzero += top
                acc <<= np.uint64(top + 1)
                bits -= top + 1
                if bits < 32:
                    pos, acc = _refill(src, pos, acc, bits)
                    bits += 32
                diff = np.int64(nonzero) << fs
                if fs:
                    diff |= np.int64(acc >> np.uint64(64 - fs))
                    acc <<= np.uint64(fs)
                    bits -= fs
                taken += nonzero + 1 + fs
            last = (last + ((diff >> 1) ^ -(diff & 1))) & mask
            pixels[i] = (last ^ sign) - sign
        if taken > 8 * src.size:
            return 1
    return 0


@njit(nogil=True, cache=True)
def decode(data, offsets, lengths, places, counts, block, size, zeros, out, status):
    """Decode tiles.

    Parameters
    ----------
    data
        uint8; tile ``t`` is ``data[offsets[t] : offsets[t] + lengths[t]]``.
    places, counts
        Its pixels go to ``out[places[t] : places[t] + counts[t]]`` (int32).
    block, size
        BLOCKSIZE (pixels) and BYTEPIX (1, 2, 4).
    zeros
        From :func:`leading_zeros`.
    status
        Set to 1 for tiles that are corrupt, else 0.
    """
    for t in range(offsets.size):
        status[t] = 1
        begin, end = offsets[t], offsets[t] + lengths[t]
        first, last = places[t], places[t] + counts[t]
        if 0 <= begin <= end <= data.size and 0 <= first <= last <= out.size and block > 0:
            status[t] = _tile(data[begin:end], block, size, zeros, out[first:last])
