"""Many names in few bytes: what they have in common once, and the numbers in them as columns."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

__all__ = ["pack_names", "pack_texts", "unpack_names", "unpack_texts"]

_DIGITS: Final = re.compile(r"([0-9]+)")
_MOST_DIGITS: Final = 18
"""Of a number that fits into 64 bits."""


def pack_texts(texts: Sequence[str]) -> bytes:
    """Pack texts of any letters: names of files may be no UTF-8, and have line ends."""
    joined = "\0".join(texts)
    if joined.count("\0") == len(texts) - 1:
        return b"0" + zlib.compress(joined.encode("utf-8", "surrogatepass"), 6)
    return b"J" + zlib.compress(json.dumps(list(texts)).encode(), 6)  # takes twice as long


def unpack_texts(packed: bytes) -> list[str]:
    """Return the texts that were packed."""
    plain = zlib.decompress(packed[1:])
    if packed[:1] == b"0":
        return plain.decode("utf-8", "surrogatepass").split("\0")
    found: list[str] = json.loads(plain)
    return found


def pack_names(names: Sequence[str]) -> bytes:
    """Pack names. Those that differ in numbers only take some bytes for all of them where the numbers count up."""
    columns = _number_columns(names)
    if columns is None:
        return b"N" + pack_texts(names)
    texts, widths, numbers = columns
    steps = np.diff(numbers, axis=1, prepend=0)
    head = json.dumps([texts, widths, len(names)]).encode()
    return b"T" + zlib.compress(head + b"\n" + steps.tobytes(), 6)


def unpack_names(packed: bytes) -> list[str]:
    """Return the names that were packed."""
    if packed[:1] == b"N":
        return unpack_texts(packed[1:])
    head, _, body = zlib.decompress(packed[1:]).partition(b"\n")
    texts, widths, count = json.loads(head)
    numbers = np.cumsum(np.frombuffer(body, np.int64).reshape(len(widths), count), axis=1)
    parts = [texts[0].replace("%", "%%")]
    for width, text in zip(widths, texts[1:], strict=True):
        parts += [f"%0{width}d" if width else "%d", text.replace("%", "%%")]
    template = "".join(parts)
    return [template % row for row in zip(*numbers.tolist(), strict=True)]


def _number_columns(
    names: Sequence[str],
) -> tuple[list[str], list[int], np.ndarray[tuple[int, int], np.dtype[np.int64]]] | None:
    """Split names into texts and numbers; None if the texts differ, or the numbers cannot be written again from their values."""
    first = _DIGITS.split(names[0])
    texts = first[::2]
    rows = []
    for name in names:
        parts = _DIGITS.split(name)
        if parts[::2] != texts:
            return None
        rows.append(parts[1::2])
    widths: list[int] = []
    for column in zip(*rows, strict=True):
        lengths = {len(number) for number in column}
        if max(lengths) > _MOST_DIGITS or (len(lengths) > 1 and any(n[0] == "0" and len(n) > 1 for n in column)):
            return None
        widths.append(lengths.pop() if len(lengths) == 1 else 0)
    if not widths:
        return None
    return texts, widths, np.array(rows).T.astype(np.int64)
