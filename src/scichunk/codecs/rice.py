"""Rice decoding of FITS tiles (FITS 4.0, section 10.4.1), compiled by numba on first use.

All tiles of a batch in one call without the GIL, two at a time: where a pixel's bits begin is known only after the pixel before
it, so a tile alone leaves most of the processor idle. Pixels are taken four at a time (two, if they have many bits) from one
64-bit word, without a branch; a block where their bits do not fit is decoded again, pixel by pixel.

Words are loaded wherever there are bytes in ``data``, also behind the end of a tile; a stream that is too short, or leaves bytes
of its tile unused, is found by where it ends, and is an error: codes have no other check, so that damaged ones decode to
something.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Int, inner_kernel, kernel
from scichunk.codecs.instructions import leading_zeros, load64, sum_differences

__all__ = ["decode_rice"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.int32]
Word = np.uint64

_HEAD: Final = np.array([0, 3, 4, 0, 5])
"""Bits that say how many low bits the pixels of a block have, by BYTEPIX."""
_RAW: Final = np.array([0, 6, 14, 0, 25])
"""The number that stands for differences as they are, in as many bits, by BYTEPIX."""
_VALID_BITS: Final = 57
"""Bits of a word that are there wherever in a byte it begins."""
_LEAST_BYTES: Final = 8
"""Bytes that are loaded at once."""
_FAR: Final = Word(63)
"""Shifts beyond it have no defined result."""
_NARROW_BITS: Final = 9
"""Low bits of a pixel up to which four mostly fit a word."""
_WIDE_BITS: Final = 22
"""Low bits of a pixel up to which two mostly fit."""
_HIGH: Final = np.array(
    [((zeros - 1) << low) & 0xFFFFFFFF for low in range(_WIDE_BITS + 1) for zeros in range(65)], np.uint32
)
"""What zeros add to a code, beside the set bit behind them and the low bits: faster looked up than computed."""


@inner_kernel
def _peek_bits(data: Bytes, bit: Int) -> Word:
    """Return the bits from ``bit`` on, at the top of a word; zeros behind the end of the data."""
    at = bit >> 3
    beyond = max(np.int64(0), at + 8 - data.size)
    if beyond > 7:
        return Word(0)
    word: Word = load64(data, at - beyond)
    return word << Word(8 * beyond + (bit & 7))


@inner_kernel
def _decode_block(data: Bytes, bit: Int, end: Int, size: Int, out: Pixels, first: Int, n: Int) -> Int:
    """Decode the differences of any block, one by one; returns the bit behind it, -1 if the tile ends before."""
    width = 8 * size
    # A block begins with the number of low bits of each code, plus one; 0 stands for differences that are all zero.
    low = np.int64(_peek_bits(data, bit) >> Word(64 - _HEAD[size])) - 1
    bit += _HEAD[size]
    if low == _RAW[size]:  # differences as they are
        for i in range(n):
            out[Word(first + i)] = _peek_bits(data, bit) >> Word(64 - width)
            bit += width
        return bit if bit <= 8 * end else np.int64(-1)
    if low > _RAW[size]:  # there are no such codes
        return np.int64(-1)
    for i in range(first, first + n):
        code = Word(0)
        if low >= 0:
            word = _peek_bits(data, bit)
            zeros = np.int64(leading_zeros(word))
            while zeros >= _VALID_BITS:  # of this word; their number stays in the code
                code += Word(_VALID_BITS)
                bit += _VALID_BITS
                if bit > 8 * end:
                    return np.int64(-1)
                word = _peek_bits(data, bit)
                zeros = np.int64(leading_zeros(word))
            code = (code + Word(zeros)) << Word(low)
            bit += zeros + 1
            # In two shifts: one by 64, for ``low`` of 0, would have no defined result.
            code |= (_peek_bits(data, bit) >> Word(1)) >> Word(63 - low)
            bit += low
        out[Word(i)] = code
    return bit if bit <= 8 * end else np.int64(-1)


@inner_kernel
def _decode_pair(
    data: Bytes,
    bit_a: Int,
    end_a: Int,
    bit_b: Int,
    end_b: Int,
    block: Int,
    size: Int,
    out: Pixels,
    a: Int,
    b: Int,
    n: Int,
) -> tuple[Int, Int]:
    """Decode two tiles of ``n`` pixels, to ``out[a:]`` and ``out[b:]``; returns the bits behind them, -1 if one is short."""
    head: Int = _HEAD[size]
    most: Int = min(_WIDE_BITS, _RAW[size] - 1)
    for first in range(0, n, block):
        pixels = min(block, n - first)
        start_a, start_b = bit_a, bit_b
        low_a = np.int64(_peek_bits(data, bit_a) >> Word(64 - head)) - 1
        low_b = np.int64(_peek_bits(data, bit_b) >> Word(64 - head)) - 1
        bit_a, bit_b = bit_a + head, bit_b + head
        # What is looked at of four bytes a pixel, and eight more, lies within the data: no checks are needed in the loop.
        inside = (max(bit_a, bit_b) >> 3) + 4 * pixels + 8 <= data.size
        fits = inside and pixels & 1 == 0 and 0 <= low_a <= most and 0 <= low_b <= most
        if fits:
            wide = max(low_a, low_b) > _NARROW_BITS
            after_a, after_b = Word(low_a + 1), Word(low_b + 1)
            shift_a, shift_b = Word(63 - low_a), Word(63 - low_b)
            row_a, row_b = Word(65 * low_a), Word(65 * low_b)
            word_a, word_b, used_a, used_b = Word(0), Word(0), Word(0), Word(0)
            for i in range(0, pixels, 2):
                if wide or i & 2 == 0:
                    # Bits were taken that the word did not have: what was written of this block is overwritten below.
                    if used_a > _VALID_BITS or used_b > _VALID_BITS:
                        break
                    bit_a += np.int64(used_a)
                    bit_b += np.int64(used_b)
                    word_a = load64(data, bit_a >> 3) << Word(bit_a & 7)
                    word_b = load64(data, bit_b >> 3) << Word(bit_b & 7)
                    used_a, used_b = Word(0), Word(0)
                for j in range(first + i, first + i + 2):
                    zeros = leading_zeros(word_a)
                    out[Word(a + j)] = np.uint32(word_a >> ((shift_a - zeros) & _FAR)) + _HIGH[row_a + zeros]
                    zeros += after_a
                    word_a <<= zeros & _FAR
                    used_a += zeros
                    zeros = leading_zeros(word_b)
                    out[Word(b + j)] = np.uint32(word_b >> ((shift_b - zeros) & _FAR)) + _HIGH[row_b + zeros]
                    zeros += after_b
                    word_b <<= zeros & _FAR
                    used_b += zeros
            fits = used_a <= _VALID_BITS and used_b <= _VALID_BITS
            bit_a += np.int64(used_a)
            bit_b += np.int64(used_b)
        if not fits:
            bit_a = _decode_block(data, start_a, end_a, size, out, a + first, pixels)
            bit_b = _decode_block(data, start_b, end_b, size, out, b + first, pixels)
            if bit_a < 0 or bit_b < 0:
                break
    return bit_a, bit_b


@inner_kernel
def _restore_values(out: Pixels, first: Int, n: Int, size: Int, last: Int) -> None:
    """Turn codes of differences into pixels, in place."""
    before = np.int32(last)
    # Codes 0, 1, 2, 3, 4 stand for differences of 0, -1, 1, -2, 2: the lowest bit is the sign.
    whole = n & ~15
    for i in range(first, first + whole, 16):
        before = sum_differences(out, i, before)
    for i in range(first + whole, first + n):
        code = np.uint32(out[Word(i)])
        before = np.int32(before + (np.int32(code >> np.uint32(1)) ^ -np.int32(code & np.uint32(1))))
        out[Word(i)] = before
    if size == 2:
        for i in range(first, first + n):
            out[Word(i)] = np.int16(out[Word(i)])
    elif size == 1:  # unsigned
        for i in range(first, first + n):
            out[Word(i)] &= 255


@kernel
def decode_rice(
    data: Bytes,
    offsets: Ints,
    lengths: Ints,
    targets: Ints,
    counts: Ints,
    block: Int,
    size: Int,
    out: Pixels,
    status: Ints,
) -> None:
    """Decode tiles.

    Parameters
    ----------
    data
        uint8, 8 bytes at least (:func:`~scichunk.codecs.tile_scratch.pad_words`); tile ``t`` is
        ``data[offsets[t] : offsets[t] + lengths[t]]``.
    targets, counts
        Its pixels go to ``out[places[t] : places[t] + counts[t]]`` (int32).
    block, size
        BLOCKSIZE (pixels) and BYTEPIX (1, 2, 4).
    status
        Set to 1 for tiles that are corrupt, else 0.
    """
    t, together = 0, True
    known = size == 1 or size == 2 or size == 4  # noqa: PLR1714  # numba; places in the tables of bits
    block = min(block, max(1, out.size))  # the first of the next block may wrap around
    for i in range(offsets.size):
        # Differences, since sums of numbers near 2**63 wrap around and then seem to lie inside.
        inside = size <= lengths[i] <= data.size and 0 <= offsets[i] <= data.size - lengths[i]
        inside = inside and 0 <= counts[i] <= out.size and 0 <= targets[i] <= out.size - counts[i]
        status[i] = 0 if inside and known and block > 0 and data.size >= _LEAST_BYTES else 1
    while t < offsets.size:
        u = t
        if together and t + 1 < offsets.size and counts[t] == counts[t + 1] and status[t] == status[t + 1]:
            u = t + 1
        if status[t] == 0:
            # The first pixel stands as it is before the blocks, and is the one that the first difference adds to.
            a, b = 8 * (offsets[t] + size), 8 * (offsets[u] + size)
            end_a, end_b = offsets[t] + lengths[t], offsets[u] + lengths[u]
            a, b = _decode_pair(data, a, end_a, b, end_b, block, size, out, targets[t], targets[u], counts[t])
            bad = not (8 * end_a - 8 < a <= 8 * end_a and 8 * end_b - 8 < b <= 8 * end_b)
            if bad and u > t:  # from here on one by one: the other of the two may be well
                together = False
                continue
            for i in range(t, u + 1):
                status[i] = bad
                _restore_values(
                    out, targets[i], counts[i], size, _peek_bits(data, 8 * offsets[i]) >> Word(64 - 8 * size)
                )
        t = u + 1
