"""Base64 (RFC 4648, section 4) with line breaks, compiled by numba on first use."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Flag, Int, inner_kernel, kernel

__all__ = ["count_letters", "decode_base64", "encode_base64", "find_irregular", "skip_letters"]

Bytes = npt.NDArray[np.uint8]

_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)


def _make_tables() -> tuple[npt.NDArray[np.uint32], ...]:
    """Value of each byte at the four places of a group; the top bit set where it is none."""
    table = np.full((4, 256), 1 << 31, np.uint32)
    for position in range(4):
        table[position, _ALPHABET] = np.arange(64, dtype=np.uint32) << np.uint32(18 - 6 * position)
    return tuple(table)


_T0, _T1, _T2, _T3 = _make_tables()


@kernel
def count_letters(data: Bytes) -> tuple[Int, Int, Flag]:
    """Count what is not white space; say how many ``=`` there are, and whether there is a ``<`` or ``&``."""
    found, pads, odd = np.int64(0), np.int64(0), np.uint8(0)
    for i in range(data.size):
        found += data[i] > 32
        pads += data[i] == 61
        odd |= (data[i] == 60) | (data[i] == 38)
    return found, pads, odd != 0


@kernel
def find_irregular(data: Bytes, line: Int, gap: Int) -> Int:
    """Find where data that begin with a line stop to have ``line`` letters and ``gap`` white space in turn; -1 if nowhere."""
    at, line, gap = 0, min(line, data.size), min(gap, data.size)  # sums may wrap around
    if line < 1 or gap < 0:
        return 0
    while at < data.size:
        stop, odd = min(at + line, data.size), np.uint8(0)
        letters = data[at:stop]  # counted from 0, so that the loop has no wrap-around and runs many bytes at a time
        for i in range(letters.size):
            odd |= np.uint8(letters[i] <= 32) | np.uint8(letters[i] == 60) | np.uint8(letters[i] == 38)
        if odd:
            return at
        at = stop
        stop = min(at + gap, data.size)
        while at < stop:
            if data[at] > 32:
                return at
            at += 1
    return -1


@kernel
def skip_letters(data: Bytes, letters: Int) -> Int:
    """Return the place behind so many letters, white space aside; the size of the data if there are fewer."""
    for i in range(data.size):
        if data[i] > 32:
            if letters == 0:
                return i
            letters -= 1
    return data.size


@inner_kernel
def _decode_group(data: Bytes, at: Int, line: Int, gap: Int, left: Int) -> tuple[Int, Int, Int, Int]:
    """Decode one group with white space in it, or padding: place behind it (-1: there is none), bits, padding, letters left in the line."""
    word, letters, pads = np.int64(0), 0, 0
    while letters < 4:
        if at >= data.size:
            return -1, 0, 0, 0
        c = data[at]
        if c <= 32:
            if line > 0 and (left != 0 or at + gap > data.size):
                return -1, 0, 0, 0
            stop = at + gap if line > 0 else at + 1
            while at < stop:
                if data[at] > 32:
                    return -1, 0, 0, 0
                at += 1
            left = line
            continue
        if line > 0 and left == 0:
            return -1, 0, 0, 0
        # Padding stands for the third and fourth letter only (RFC 4648, section 4).
        if c == 61 and letters >= 2:
            pads += 1
        elif pads or _T3[c] >> 31:
            return -1, 0, 0, 0
        else:
            word |= np.int64(_T3[c]) << (18 - 6 * letters)
        letters += 1
        left -= 1
        at += 1
    return at, word, pads, left


@inner_kernel
def _decode_groups(data: Bytes, start: Int, out: Bytes, first: Int, groups: Int) -> Int:
    """Decode up to so many groups without white space or padding, which are there; returns how many it took.

    Indices are unsigned: numba makes no provision for negative ones then.
    """
    at, to = np.uint64(start), np.uint64(first)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for k in range(groups):
        # A byte that is no letter sets the top bit: one test for four letters.
        word = _T0[data[at]] | _T1[data[at + one]] | _T2[data[at + two]] | _T3[data[at + three]]
        if word >> 31:
            return k
        out[to] = word >> 16
        out[to + one] = word >> 8 & 255
        out[to + two] = word & 255
        at += four
        to += three
    return groups


@kernel
def decode_base64(data: Bytes, line: Int, gap: Int, phase: Int, out: Bytes) -> tuple[Int, Int]:
    """Decode whole groups of four.

    Parameters
    ----------
    data
        Text; begins with the first letter of a group.
    line, gap
        Letters of every line and white space between two; white space is allowed anywhere if ``line`` is 0.
    phase
        Letters of the current line before ``data``.
    out
        For the bytes; decoding ends when it is full.

    Returns
    -------
    place, bytes : int
        Where in ``data`` decoding ended, and how many bytes there are. Fewer than ``out`` holds: the text ended, is
        padded, or there is something else at ``position``.
    """
    at, to, size = 0, 0, data.size
    left = max(0, line - phase) if line > 0 and phase >= 0 else 0
    gap = max(0, min(gap, data.size + 1))  # a sum may wrap around
    while to < out.size:
        # groups that are wholly within a line
        groups = left >> 2 if line > 0 else (size - at) >> 2
        groups = min(groups, (size - at) >> 2, (out.size - to) // 3)
        whole = _decode_groups(data, at, out, to, groups)
        at += 4 * whole
        to += 3 * whole
        left -= 4 * whole
        if to >= out.size:
            break
        after, bits, pads, left = _decode_group(data, at, line, gap, left)
        if after < 0:
            return at, to
        at = after
        for k in range(min(3 - pads, out.size - to)):
            out[to] = bits >> (16 - 8 * k) & 255
            to += 1
        if pads:
            return at, to
    return at, to


def encode_base64(data: bytes | memoryview) -> bytes:
    """Text of some bytes, in lines of 64 letters."""
    text = base64.b64encode(data)
    return b"\n".join(text[i : i + 64] for i in range(0, len(text), 64))
