"""Base64 by the standard library: a stand-in for :mod:`scichunk.codecs.text.base64`."""

from __future__ import annotations

import binascii
import re
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["count_letters", "decode_base64", "find_irregular", "skip_letters"]

Bytes = npt.NDArray[np.uint8]

_SPACE: Final = bytes(range(33))
_LETTERS: Final = re.compile(rb"[A-Za-z0-9+/]*")
_LETTER: Final = re.compile(rb"[^\x00-\x20]")
_ALPHABET: Final = {
    letter: value for value, letter in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


def count_letters(data: Bytes) -> tuple[int, int, bool]:
    """Count what is not white space; say how many ``=`` there are, and whether there is a ``<`` or ``&``."""
    text = data.tobytes()
    return len(text.translate(None, _SPACE)), text.count(b"="), b"<" in text or b"&" in text


def find_irregular(data: Bytes, line: int, gap: int) -> int:
    """Where data that begin with a line stop to have ``line`` letters and ``gap`` white space in turn; -1 if nowhere."""
    line, gap = min(line, data.size), min(gap, data.size)
    if line < 1 or gap < 0:
        return 0
    letter = (data > 32) & (data != 60) & (data != 38)
    space = data <= 32
    period = line + gap
    places = np.arange(data.size) % period < line
    bad = np.where(places, ~letter, ~space)
    if not bad.any():
        return -1
    at = int(bad.argmax())
    return at // period * period if places[at] else at  # of letters, where their line begins


def skip_letters(data: Bytes, letters: int) -> int:
    """Place behind so many letters, white space aside; the size of the data if there are fewer."""
    places = np.flatnonzero(data > 32)
    return int(places[letters]) if 0 <= letters < places.size else data.size


def _group(text: bytes, at: int, line: int, gap: int, left: int) -> tuple[int, int, int, int]:
    """One group with white space in it, or padding: place behind it (-1: there is none), bits, padding, letters left in the line."""
    word, letters, pads, none = 0, 0, 0, (-1, 0, 0, 0)
    while letters < 4:
        if at >= len(text):
            return none
        c = text[at]
        if c <= 32:
            stop = at + gap if line > 0 else at + 1
            if line > 0 and (left != 0 or stop > len(text) or text[at:stop].strip(_SPACE)):
                return none
            at, left = max(at, stop), line
            if line > 0 and gap == 0:
                return none  # white space where there must be none
            continue
        if line > 0 and left == 0:
            return none
        if c == 61 and letters >= 2:
            pads += 1
        elif pads or c not in _ALPHABET:
            return none
        else:
            word |= _ALPHABET[c] << (18 - 6 * letters)
        letters += 1
        left -= 1
        at += 1
    return at, word, pads, left


def decode_base64(data: Bytes, line: int, gap: int, phase: int, out: Bytes) -> tuple[int, int]:
    """Decode whole groups of four; returns where that ended, and how many bytes there are."""
    text = data.tobytes()
    at, to, size = 0, 0, data.size
    left = max(0, line - phase) if line > 0 and phase >= 0 else 0
    gap = max(0, min(gap, size + 1))
    while to < out.size:
        groups = left >> 2 if line > 0 else (size - at) >> 2
        groups = min(groups, (size - at) >> 2, (out.size - to) // 3)
        found = _LETTERS.match(text, at, at + 4 * groups)
        whole = (found.end() - at) // 4 if found else 0
        out[to : to + 3 * whole] = np.frombuffer(binascii.a2b_base64(text[at : at + 4 * whole]), np.uint8)
        at, to, left = at + 4 * whole, to + 3 * whole, left - 4 * whole
        if to >= out.size:
            break
        after, bits, pads, left = _group(text, at, line, gap, left)
        if after < 0:
            return at, to
        at = after
        count_ = min(3 - pads, out.size - to)
        out[to : to + count_] = list(bits.to_bytes(3, "big")[:count_])
        to += count_
        if pads:
            return at, to
    return at, to
