"""Numbers written as text, compiled by numba on first use.

Decimal to binary after D. Lemire, "Number parsing at a gigabyte per second" (2021): the product of the digits and a 128-bit
power of five decides the nearest double in almost all cases; what it cannot decide, and what is no plain decimal number, is
handed back to be read by Python, so that values are always those of ``float`` and ``int``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Flag, Int, inner_kernel, kernel
from scichunk.codecs.instructions import leading_zeros
from scichunk.codecs.text.states import EMPTY, OTHER, VALUE

__all__ = ["parse_booleans", "parse_floats", "parse_integers"]

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int32]

_FIRST, _LAST = -342, 308
_MOST_EXPONENT = np.int64(1 << 40)  # more than any number of digits, which it may have to make up for


def _make_powers() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Upper 128 bits of 5**q, rounded down for q >= 0 and up below, as two words."""
    high, low = [], []
    for q in range(_FIRST, _LAST + 1):
        if q >= 0:
            value = 5**q
            shift = value.bit_length() - 128
            value = value >> shift if shift > 0 else value << -shift
        else:
            power = 5**-q
            bits = (power - 1).bit_length()
            value = (1 << (bits + 127 if q >= -27 else 2 * bits + 128)) // power + 1
            value >>= max(0, value.bit_length() - 128)
        high.append(value >> 64)
        low.append(value & (2**64 - 1))
    return np.array(high, np.uint64), np.array(low, np.uint64)


_HIGH, _LOW = _make_powers()
_EXACT = np.array([10.0**i for i in range(23)])


@inner_kernel
def _multiply_wide(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the upper and the lower word of a product."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    mid = a1 * b0 + ((a0 * b0) >> half)
    cross = a0 * b1 + (mid & mask)
    return a1 * b1 + (mid >> half) + (cross >> half), a * b


@inner_kernel
def _nearest_double(w: np.uint64, q: np.int64) -> np.uint64:
    """Return the bits of the double nearest to w * 10**q."""
    if w == 0 or q < _FIRST:
        return np.uint64(0)
    infinite = np.uint64(0x7FF0000000000000)
    if q > _LAST:
        return infinite
    zeros = np.uint64(leading_zeros(w))
    w = w << zeros
    high, low = _multiply_wide(w, _HIGH[q - _FIRST])
    # Only then can the lower half of the power change the rounding.
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = _multiply_wide(w, _LOW[q - _FIRST])
        low = low + more
        if more > low:
            high = high + np.uint64(1)
    upper = high >> np.uint64(63)
    mantissa = high >> (upper + np.uint64(9))
    # 217706 / 2**16 is log2(10): the binary exponent of 10**q, without floats.
    power = ((np.int64(217706) * q) >> np.int64(16)) + np.int64(63) + np.int64(upper) - np.int64(zeros) + np.int64(1023)
    one = np.uint64(1)
    if power <= 0:
        if power <= -63:
            return np.uint64(0)
        mantissa = mantissa >> np.uint64(1 - power)
        return (mantissa + (mantissa & one)) >> one  # the bit of the smallest normal number is that of its exponent
    if low <= 1 and q >= -4 and q <= 23 and mantissa & np.uint64(3) == one:  # noqa: SIM102
        if mantissa << (upper + np.uint64(9)) == high:  # halfway: to even
            mantissa = mantissa & ~one
    mantissa = (mantissa + (mantissa & one)) >> one
    if mantissa >= np.uint64(1) << np.uint64(53):
        mantissa = np.uint64(1) << np.uint64(52)
        power += 1
    if power >= 0x7FF:
        return infinite
    return (mantissa & ((np.uint64(1) << np.uint64(52)) - one)) | (np.uint64(power) << np.uint64(52))


@inner_kernel
def _trim_space(data: Bytes, start: np.int64, stop: np.int64) -> tuple[np.int64, np.int64]:
    """Leave out the white space of XML around a text; of what lies outside of the data nothing is left."""
    stop = max(np.int64(0), min(stop, np.int64(data.size)))
    start = min(max(np.int64(0), start), stop)
    while start < stop and data[start] <= 32:
        start += 1
    while stop > start and data[stop - 1] <= 32:
        stop -= 1
    return start, stop


@inner_kernel
def _parse_special(data: Bytes, at: np.int64, stop: np.int64) -> np.int64:
    """Return 1 for NaN, 2 for infinity, 0 for anything else."""
    if stop - at != 3:
        return np.int64(0)
    a, b, c = data[at] | 32, data[at + 1] | 32, data[at + 2] | 32
    if a == 110 and b == 97 and c == 110:
        return np.int64(1)
    return np.int64(2) if a == 105 and b == 110 and c == 102 else np.int64(0)


@inner_kernel
def _take_digits(
    data: Bytes, at: np.int64, stop: np.int64, value: np.uint64, count: np.int64
) -> tuple[np.int64, np.uint64, np.int64, np.int64]:
    """Take digits: place behind them, value and count with them (of 19 at most), and how many did not fit."""
    cut = np.int64(0)
    # unsigned: numba makes no provision for negative indices then
    at_digit, end = np.uint64(at), np.uint64(stop)
    while at_digit < end:
        digit = np.uint64(data[at_digit]) - np.uint64(48)
        if digit > 9:
            break
        if count < 19:
            value = value * np.uint64(10) + digit
            # Leading zeros take no room.
            count += value != 0
        else:
            cut += 1
        at_digit += np.uint64(1)
    return np.int64(at_digit), value, count, cut


@inner_kernel
def _take_exponent(data: Bytes, at: np.int64, stop: np.int64) -> tuple[np.int64, np.int64, Flag]:
    """Take what follows an E: place behind it, exponent, and whether there is one."""
    down = at < stop and data[at] == 45
    if at < stop and (data[at] == 45 or data[at] == 43):
        at += 1
    exponent, first = np.int64(0), at
    while at < stop and data[at] >= 48 and data[at] <= 57:
        exponent = min(exponent * 10 + np.int64(data[at] - 48), _MOST_EXPONENT)
        at += 1
    return at, -exponent if down else exponent, at > first


@inner_kernel
def _read_decimal(data: Bytes, at: np.int64, stop: np.int64) -> tuple[np.uint64, np.int64, Flag, Flag]:
    """Read an unsigned decimal number: digits, power of ten, whether digits were left out, and whether it is one."""
    first = at
    at, value, count, cut = _take_digits(data, at, stop, np.uint64(0), np.int64(0))
    seen, scale = at - first, cut
    if at < stop and data[at] == 46:
        first = at + 1
        at, value, count, more = _take_digits(data, first, stop, value, count)
        seen += at - first
        scale -= at - first - more
        cut += more
    good = seen > 0
    if good and at < stop and data[at] | 32 == 101:
        at, exponent, good = _take_exponent(data, at + 1, stop)
        scale += exponent
    return value, scale, cut > 0, good and at == stop


@kernel
def parse_floats(data: Bytes, starts: Spans, stops: Spans, out: npt.NDArray[np.float64], state: Bytes) -> Int:
    """Read floating point numbers.

    Parameters
    ----------
    data
        The text.
    starts, stops
        Where each number lies in it, white space around it allowed.
    out
        For the values; NaN where there is none.
    state
        For VALUE, EMPTY or OTHER.

    Returns
    -------
    int
        How many are OTHER.
    """
    bits = out.view(np.uint64)
    others = 0
    for i in range(starts.size):
        at, stop = _trim_space(data, np.int64(starts[i]), np.int64(stops[i]))
        out[i] = np.nan
        if at == stop:
            state[i] = EMPTY
            continue
        negative = data[at] == 45
        if negative or data[at] == 43:
            at += 1
        value, scale, cut, good = _read_decimal(data, at, stop)
        state[i] = VALUE
        # Both are exact as doubles (below 2**53, and 10**22 at most), so one operation rounds rightly (Clinger 1990).
        if good and not cut and value < 9007199254740992 and scale >= -22 and scale <= 22:
            number = np.float64(np.int64(value))
            number = number / _EXACT[-scale] if scale < 0 else number * _EXACT[scale]
            out[i] = -number if negative else number
        elif good:
            found = _nearest_double(value, scale)
            # Digits beyond the 19th were left out: the value lies between two numbers, which mostly have one nearest double.
            if cut and found != _nearest_double(value + np.uint64(1), scale):
                state[i] = OTHER
                others += 1
            else:
                bits[i] = found | (np.uint64(1) << np.uint64(63)) if negative else found
        else:
            special = _parse_special(data, at, stop)
            if special == 2:
                out[i] = -np.inf if negative else np.inf
            elif special == 0:
                state[i] = OTHER
                others += 1
    return others


@kernel
def parse_integers(
    data: Bytes, starts: Spans, stops: Spans, low: Int, high: Int, out: npt.NDArray[np.int64], state: Bytes
) -> Int:
    """Read integers from ``low`` to ``high``; see :func:`parse_floats`. What lies outside, or is no plain number, is OTHER."""
    others = 0
    for i in range(starts.size):
        at, stop = _trim_space(data, np.int64(starts[i]), np.int64(stops[i]))
        out[i] = 0
        if at == stop:
            state[i] = EMPTY
            continue
        negative = data[at] == 45
        if negative or data[at] == 43:
            at += 1
        value, first = np.int64(0), at
        while at < stop and data[at] - 48 <= 9 and data[at] >= 48 and at - first < 18:
            value = value * 10 + np.int64(data[at] - 48)
            at += 1
        good = at > first
        if at + 1 == stop and data[at] - 48 <= 9 and data[at] >= 48:  # the 19th digit: may overflow
            last = np.int64(data[at] - 48)
            good = value < 922337203685477580 or (value == 922337203685477580 and last <= 7)
            value = value * 10 + last if good else value
            at += 1
        value = -value if negative else value
        if good and at == stop and value >= low and value <= high:
            state[i] = VALUE
            out[i] = value
        else:
            state[i] = OTHER
            others += 1
    return others


@kernel
def parse_booleans(data: Bytes, starts: Spans, stops: Spans, out: npt.NDArray[np.bool_], state: Bytes) -> Int:
    """Read logicals (VOTable 1.5, section 2.1): T, F, 1, 0, true, false in any case; ``?`` and blanks are EMPTY."""
    others = 0
    for i in range(starts.size):
        at, stop = _trim_space(data, np.int64(starts[i]), np.int64(stops[i]))
        out[i] = False
        size = stop - at
        if size == 0 or (size == 1 and data[at] == 63):
            state[i] = EMPTY
            continue
        letter = data[at] | 32 if data[at] >= 65 else data[at]
        state[i] = VALUE
        if size == 1 and (letter == 116 or letter == 49):  # noqa: PLR1714  # numba
            out[i] = True
        elif size == 1 and (letter == 102 or letter == 48):  # noqa: PLR1714
            pass
        elif (
            size == 4
            and letter == 116
            and data[at + 1] | 32 == 114
            and data[at + 2] | 32 == 117
            and data[at + 3] | 32 == 101
        ):
            out[i] = True
        elif (
            size == 5
            and letter == 102
            and data[at + 1] | 32 == 97
            and data[at + 2] | 32 == 108
            and data[at + 3] | 32 == 115
            and data[at + 4] | 32 == 101
        ):
            pass
        else:
            state[i] = OTHER
            others += 1
    return others
