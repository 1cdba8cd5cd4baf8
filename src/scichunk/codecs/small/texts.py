"""Texts of cells by the standard library: a stand-in for :mod:`scichunk.codecs.text.texts`."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["copy_texts", "count_digits", "count_tokens", "parse_bits", "split_tokens", "unescape_texts"]

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int32]

_REFERENCE: Final = re.compile(rb"&([^;]*)(;?)")
_TOKEN: Final = re.compile(rb"[^\x00-\x20,]+")
_BETWEEN: Final = bytes(range(33)) + b","
_NAMED: Final = {b"lt": "<", b"gt": ">", b"amp": "&", b"apos": "'", b"quot": '"'}
_NUMBER: Final = re.compile(rb"#(?:x0*+([0-9A-Fa-f]{1,10})|0*+([0-9]{1,10}))")


def _cut(data: Bytes, starts: Spans, stops: Spans) -> list[bytes]:
    text = data.tobytes()
    return [text[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]


def _put(texts: list[bytes], out: Bytes, offsets: Spans) -> int:
    joined = np.frombuffer(b"".join(texts), np.uint8)
    out[: joined.size] = joined
    offsets[0] = 0
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return joined.size


def copy_texts(data: Bytes, starts: Spans, stops: Spans, out: Bytes, offsets: Spans) -> int:
    """Put texts one behind the other, with Arrow's offsets (one more than texts); returns the bytes used."""
    return _put(_cut(data, starts, stops), out, offsets)


def _character(name: bytes) -> str:
    """What a reference stands for (XML 1.0, sections 2.2 and 4.1); nothing if that is not defined."""
    if name in _NAMED:
        return _NAMED[name]
    number = _NUMBER.fullmatch(name)
    if not number:
        return ""
    code = int(number[1], 16) if number[1] else int(number[2])
    if (code < 32 and code not in {9, 10, 13}) or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF or code | 1 == 0xFFFF:
        return ""
    return chr(code)


class _Undefined(Exception):  # never seen outside
    """A reference that is not defined."""


def _resolve(found: re.Match[bytes]) -> bytes:
    character = _character(found[1]) if found[2] else ""
    if not character:
        raise _Undefined
    return character.encode()


def unescape_texts(data: Bytes, starts: Spans, stops: Spans, out: Bytes, offsets: Spans) -> int:
    """Copy texts with references resolved and line ends made line feeds; -1 - i if text i has a reference that is not defined."""
    texts = _cut(data, starts, stops)
    for i, text in enumerate(texts):
        plain = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text
        try:
            texts[i] = _REFERENCE.sub(_resolve, plain) if b"&" in plain else plain
        except _Undefined:
            return -1 - i
    return _put(texts, out, offsets)


def count_tokens(data: Bytes, starts: Spans, stops: Spans, counts: Spans) -> tuple[int, int]:
    """Count the tokens of each text; returns how many there are, and the first text with a comma (-1: none)."""
    texts = _cut(data, starts, stops)
    counts[:] = [len(_TOKEN.findall(text)) for text in texts]
    comma = next((i for i, text in enumerate(texts) if b"," in text), -1)
    return int(counts.sum(dtype=np.int64)), comma


def split_tokens(data: Bytes, starts: Spans, stops: Spans, size: int, firsts: Spans, lasts: Spans) -> None:
    """Places of the tokens of each text; ``size`` of each (missing ones empty, others dropped), or all if it is -1."""
    text = data.tobytes()
    spans: list[tuple[int, int]] = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        found = [token.span() for token in _TOKEN.finditer(text, start, stop)]
        if size >= 0:
            found = found[:size] + [(stop, stop)] * (size - len(found))
        spans += found
    places = np.array(spans, np.int32).reshape(-1, 2)
    firsts[: len(spans)], lasts[: len(spans)] = places[:, 0], places[:, 1]


def count_digits(data: Bytes, starts: Spans, stops: Spans, counts: Spans) -> tuple[int, int]:
    """Count the digits 0 and 1 of each text; returns how many, and the first text with anything else but space (-1: none)."""
    texts = [text.translate(None, _BETWEEN) for text in _cut(data, starts, stops)]
    counts[:] = [text.count(b"0") + text.count(b"1") for text in texts]
    bad = next((i for i, text in enumerate(texts) if len(text) != counts[i]), -1)
    return int(counts.sum(dtype=np.int64)), bad


def parse_bits(data: Bytes, starts: Spans, stops: Spans, size: int, out: npt.NDArray[np.bool_]) -> None:
    """Bits of each text: ``size`` of each (missing ones zero, others dropped), or all if it is -1."""
    others = bytes(set(range(256)) - {48, 49})
    texts = [text.translate(None, others) for text in _cut(data, starts, stops)]
    if size >= 0:
        texts = [text[:size].ljust(size, b"0") for text in texts]
    found = np.frombuffer(b"".join(texts), np.uint8) == 49
    out[: found.size] = found
