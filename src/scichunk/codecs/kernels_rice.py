"""Rice decoding of FITS tiles (FITS 4.0, section 10.4.1), compiled by numba on first use.

All tiles of a batch in one call without the GIL. Bits are taken from the top of a 64-bit word; behind the end of a tile there
are zeros, and what was taken of them is counted: a stream that is too short is an error, never a read beyond the buffer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jit import Int, kernel
from scichunk.codecs.kernels_bits import leading_zeros, load64

__all__ = ["decode"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Word = np.uint64


@kernel
def _fill(src: Bytes, pos: Int, acc: Word, bits: Int) -> tuple[Int, Word, Int]:
    """Fill the word to at least 56 bits, with zeros behind the end.

    Bits below the valid ones may be set: they are those that come next, and are set again by the next call.
    """
    if pos + 8 <= src.size:
        count = (63 - bits) >> 3
        return pos + count, acc | (load64(src, np.int64(pos)) >> np.uint64(bits)), bits + 8 * count
    while bits <= 56:
        byte = np.uint64(src[pos]) if pos < src.size else np.uint64(0)
        acc |= byte << np.uint64(56 - bits)
        pos += 1
        bits += 8
    return pos, acc, bits


@kernel
def _unary(src: Bytes, pos: Int, acc: Word, bits: Int) -> tuple[Int, Word, Int, Int]:
    """Zeros before the next set bit, across words; -1 if there is none."""
    zeros = np.int64(0)
    count = min(np.int64(leading_zeros(acc)), bits)
    while count == bits:
        zeros += bits
        if pos >= src.size:
            return pos, acc, bits, np.int64(-1)
        pos, acc, bits = _fill(src, pos, np.uint64(0), 0)
        count = min(np.int64(leading_zeros(acc)), bits)
    return pos, (acc << np.uint64(count)) << np.uint64(1), bits - count - 1, zeros + count


@kernel
def _tile(src: Bytes, block: Int, size: Int, out: npt.NDArray[Any]) -> Int:
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
    for first in range(0, out.size, block):
        pos, acc, bits = _fill(src, pos, acc, bits)
        fs = np.int64(acc >> np.uint64(64 - fs_bits)) - 1
        acc <<= np.uint64(fs_bits)
        bits -= fs_bits
        pixels = out[first : first + block]
        if fs < 0:
            for i in range(pixels.size):
                pixels[i] = (last ^ sign) - sign
        elif fs == fs_max:
            for i in range(pixels.size):
                pos, acc, bits = _fill(src, pos, acc, bits)
                diff = np.int64(acc >> np.uint64(64 - width))
                acc <<= np.uint64(width)
                bits -= width
                last = (last + ((diff >> 1) ^ -(diff & 1))) & mask
                pixels[i] = (last ^ sign) - sign
        else:
            shift = np.uint64(63 - fs)
            for i in range(pixels.size):
                zeros = np.int64(leading_zeros(acc))
                if zeros + 1 + fs > bits:  # rare, so that the word is not waited for at each pixel
                    pos, acc, bits = _fill(src, pos, acc, bits)
                    zeros = np.int64(leading_zeros(acc))
                used = zeros + 1 + fs
                if used <= bits:
                    low = (acc << np.uint64(zeros)) << np.uint64(1)
                    acc <<= np.uint64(used)  # one short step from pixel to pixel
                    bits -= used
                else:
                    pos, acc, bits, zeros = _unary(src, pos, acc, bits)
                    if zeros < 0:
                        return 1
                    pos, acc, bits = _fill(src, pos, acc, bits)
                    low = acc
                    acc <<= np.uint64(fs)
                    bits -= fs
                diff = (zeros << fs) | np.int64((low >> np.uint64(1)) >> shift)
                last = (last + ((diff >> 1) ^ -(diff & 1))) & mask
                pixels[i] = (last ^ sign) - sign
        if 8 * pos - bits > 8 * src.size:
            return 1
    return 0


@kernel
def decode(
    data: Bytes,
    offsets: Ints,
    lengths: Ints,
    places: Ints,
    counts: Ints,
    block: Int,
    size: Int,
    out: npt.NDArray[Any],
    status: Ints,
) -> None:
    """Decode tiles.

    Parameters
    ----------
    data
        uint8; tile ``t`` is ``data[offsets[t] : offsets[t] + lengths[t]]``.
    places, counts
        Its pixels go to ``out[places[t] : places[t] + counts[t]]`` (int32).
    block, size
        BLOCKSIZE (pixels) and BYTEPIX (1, 2, 4).
    status
        Set to 1 for tiles that are corrupt, else 0.
    """
    for t in range(offsets.size):
        status[t] = 1
        begin, end = offsets[t], offsets[t] + lengths[t]
        first, last = places[t], places[t] + counts[t]
        if 0 <= begin <= end <= data.size and 0 <= first <= last <= out.size and block > 0:
            status[t] = _tile(data[begin:end], block, size, out[first:last])
