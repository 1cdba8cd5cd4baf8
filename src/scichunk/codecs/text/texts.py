"""Texts of cells: copied, freed of XML references, cut into tokens; compiled by numba on first use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Flag, Int, inlined, inner_kernel, kernel

__all__ = ["copy_texts", "count_digits", "count_tokens", "parse_bits", "split_tokens", "unescape_texts"]

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int32]


@kernel
def copy_texts(data: Bytes, starts: Spans, stops: Spans, out: Bytes, offsets: Spans) -> Int:
    """Put texts one behind the other, with Arrow's offsets (one more than texts); returns the bytes used."""
    at = 0
    offsets[0] = 0
    for i in range(starts.size):
        start, size = starts[i], stops[i] - starts[i]
        for k in range(size):
            out[at + k] = data[start + k]
        at += size
        offsets[i + 1] = at
    return at


@inner_kernel
def _parse_code_point(data: Bytes, at: Int, stop: Int) -> Int:
    """Parse the code point of ``#...`` or ``#x...`` up to ``stop``; -1 if it is none that XML allows (XML 1.0, section 2.2)."""
    base = 10
    at += 1
    if at < stop and data[at] == 120:
        base = 16
        at += 1
    while at < stop and data[at] == 48:
        at += 1
    if at == stop or stop - at > 10:  # nothing but zeros, which is no character; or beyond all
        return -1
    code = np.int64(0)
    for i in range(at, stop):
        c = np.int64(data[i])
        if c >= 48 and c <= 57:
            c -= 48
        elif base == 16 and (c | 32) >= 97 and (c | 32) <= 102:
            c = (c | 32) - 87
        else:
            return -1
        code = code * base + c
    if code < 32 and code != 9 and code != 10 and code != 13:  # noqa: PLR1714  # numba
        return -1
    return -1 if code > 0x10FFFF or (code >= 0xD800 and code <= 0xDFFF) or (code | 1) == 0xFFFF else code


@inner_kernel
def _parse_reference(data: Bytes, at: Int, stop: Int) -> Int:
    """Parse the code point of what stands between ``&`` and ``;``."""
    size = stop - at
    if size > 1 and data[at] == 35:
        return _parse_code_point(data, at, stop)
    if size == 2 and data[at + 1] == 116:
        return 60 if data[at] == 108 else (62 if data[at] == 103 else -1)
    if size == 3 and data[at] == 97 and data[at + 1] == 109 and data[at + 2] == 112:
        return 38
    if size == 4 and data[at + 1] == 112 and data[at + 2] == 111 and data[at + 3] == 115 and data[at] == 97:
        return 39
    if size == 4 and data[at] == 113 and data[at + 1] == 117 and data[at + 2] == 111 and data[at + 3] == 116:
        return 34
    return -1


@inner_kernel
def _put_utf8(code: Int, out: Bytes, to: Int) -> Int:
    """Write a code point in UTF-8; returns the place behind it."""
    if code < 0x80:
        out[to] = code
        return to + 1
    if code < 0x800:
        out[to], out[to + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return to + 2
    if code < 0x10000:
        out[to], out[to + 1], out[to + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
        return to + 3
    out[to], out[to + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
    out[to + 2], out[to + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return to + 4


@kernel
def unescape_texts(data: Bytes, starts: Spans, stops: Spans, out: Bytes, offsets: Spans) -> Int:
    """Copy as :func:`copy_texts` does, with references resolved and line ends made line feeds (XML 1.0, section 2.11).

    Returns -1 - i where text i has another reference.
    """
    to = 0
    offsets[0] = 0
    for i in range(starts.size):
        at, stop = np.int64(starts[i]), np.int64(stops[i])
        while at < stop:
            c = data[at]
            if c == 38:
                end = at + 1
                while end < stop and data[end] != 59:
                    end += 1
                code = _parse_reference(data, at + 1, end) if end < stop else -1
                if code < 0:
                    return -1 - i
                to = _put_utf8(code, out, to)  # never longer than the reference
                at = end + 1
                continue
            if c == 13:
                c = 10
                if at + 1 < stop and data[at + 1] == 10:
                    at += 1
            out[to] = c
            to += 1
            at += 1
        offsets[i + 1] = to
    return to


@inlined
def _is_separator(c: Int) -> Flag:
    """White space, or the comma that some services write."""
    return c <= 32 or c == 44


@kernel
def count_tokens(data: Bytes, starts: Spans, stops: Spans, counts: Spans) -> tuple[Int, Int]:
    """Count the tokens of each text; returns how many there are, and the first text with a comma (-1: none)."""
    total, comma = 0, -1
    for i in range(starts.size):
        count, inside = 0, False
        for k in range(starts[i], stops[i]):
            apart = _is_separator(data[k])
            if data[k] == 44 and comma < 0:
                comma = i
            count += (not apart) and (not inside)
            inside = not apart
        counts[i] = count
        total += count
    return total, comma


@kernel
def split_tokens(data: Bytes, starts: Spans, stops: Spans, size: Int, firsts: Spans, lasts: Spans) -> None:
    """Find the tokens of each text; ``size`` of each (missing ones empty, others dropped), or all if it is -1."""
    to = 0
    for i in range(starts.size):
        at, stop, count = starts[i], stops[i], 0
        while True:
            while at < stop and _is_separator(data[at]):
                at += 1
            if at >= stop:
                break
            first = at
            while at < stop and not _is_separator(data[at]):
                at += 1
            if size < 0 or count < size:
                firsts[to], lasts[to] = first, at
                to += 1
            count += 1
        while count < size:
            firsts[to], lasts[to] = stop, stop
            to += 1
            count += 1


@kernel
def count_digits(data: Bytes, starts: Spans, stops: Spans, counts: Spans) -> tuple[Int, Int]:
    """Count the digits 0 and 1 of each text; returns how many, and the first text with anything else but space (-1: none)."""
    total, bad = 0, -1
    for i in range(starts.size):
        count = 0
        for k in range(starts[i], stops[i]):
            if data[k] == 48 or data[k] == 49:
                count += 1
            elif not _is_separator(data[k]) and bad < 0:
                bad = i
        counts[i] = count
        total += count
    return total, bad


@kernel
def parse_bits(data: Bytes, starts: Spans, stops: Spans, size: Int, out: npt.NDArray[np.bool_]) -> None:
    """Read the bits of each text: ``size`` of each (missing ones zero, others dropped), or all if it is -1."""
    to = 0
    for i in range(starts.size):
        count = 0
        for k in range(starts[i], stops[i]):
            if (data[k] == 48 or data[k] == 49) and (size < 0 or count < size):
                out[to] = data[k] == 49
                to += 1
                count += 1
        while count < size:
            out[to] = False
            to += 1
            count += 1
