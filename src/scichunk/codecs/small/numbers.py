"""Numbers written as text, by Python: a stand-in for :mod:`scichunk.codecs.text.numbers`.

Where the kernel leaves a number of very many digits to its caller, it is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.text.states import EMPTY, OTHER, VALUE

__all__ = ["parse_booleans", "parse_floats", "parse_integers"]

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int32]

_SPACE: Final = bytes(range(33))
_FLOAT: Final = re.compile(rb"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?")
_SPECIAL: Final = re.compile(rb"[+-]?(?:nan|inf)", re.IGNORECASE)
_INTEGER: Final = re.compile(rb"[+-]?\d{1,4000}")
_TRUE: Final = frozenset((b"t", b"1", b"true"))
_FALSE: Final = frozenset((b"f", b"0", b"false"))


def _texts(data: Bytes, starts: Spans, stops: Spans) -> list[bytes]:
    """Cells of the data; of what lies outside nothing is left."""
    text, size = data.tobytes(), data.size
    inside = zip(np.clip(starts, 0, size).tolist(), np.clip(stops, 0, size).tolist(), strict=True)
    return [text[a:b] for a, b in inside]


def _only(texts: list[bytes], letters: bytes) -> bool:
    """Whether there is nothing else in the texts: then Python's functions take what the kernel takes, and nothing more."""
    return not b"".join(texts).translate(None, letters)


def _each(texts: list[bytes], out: npt.NDArray[Any], state: Bytes, missing: Any, value: Callable[[bytes], Any]) -> int:
    """Read texts one by one; ``value`` gives None for those that are left to the caller."""
    others = 0
    for i, text in enumerate(texts):
        stripped = text.strip(_SPACE)
        out[i] = missing
        if not stripped:
            state[i] = EMPTY
            continue
        found = value(stripped)
        if found is None:
            state[i] = OTHER
            others += 1
        else:
            out[i], state[i] = found, VALUE
    return others


def _all(texts: list[bytes], out: npt.NDArray[Any], state: Bytes, missing: Any, read: type[int | float]) -> bool:
    """Read texts of plain numbers and empty ones; False if there is another one, then nothing is said about the output."""
    try:
        out[:] = [read(text) for text in texts]
    except OverflowError:
        return False
    except ValueError:
        pass  # some are empty, or no numbers
    else:
        state[:] = VALUE
        return True
    texts = [text.strip(_SPACE) for text in texts]
    try:
        out[:] = [read(text) if text else missing for text in texts]
    except (OverflowError, ValueError):
        return False
    state[:] = [VALUE if text else EMPTY for text in texts]
    return True


def parse_floats(data: Bytes, starts: Spans, stops: Spans, out: npt.NDArray[np.float64], state: Bytes) -> int:
    """Read floating point numbers; returns how many are OTHER."""
    texts = _texts(data, starts, stops)
    if _only(texts, b"0123456789+-.eE \t\r\n") and _all(texts, out, state, np.nan, float):
        return 0
    return _each(texts, out, state, np.nan, _float)


def _float(text: bytes) -> float | None:
    if _FLOAT.fullmatch(text):
        return float(text)
    if not _SPECIAL.fullmatch(text):
        return None
    value = float(text)
    return value if value == value else np.nan  # noqa: PLR0124  # without the sign of -nan


def parse_integers(
    data: Bytes, starts: Spans, stops: Spans, low: int, high: int, out: npt.NDArray[np.int64], state: Bytes
) -> int:
    """Read integers from ``low`` to ``high``; what lies outside, or is no plain number, is OTHER."""

    def value(text: bytes) -> int | None:
        if not _INTEGER.fullmatch(text):
            return None
        found = int(text)
        return found if low <= found <= high else None

    texts = _texts(data, starts, stops)
    if (
        _only(texts, b"0123456789+- \t\r\n")
        and _all(texts, out, state, 0, int)
        and bool(np.all((out >= low) & (out <= high) | (state == EMPTY)))
    ):
        return 0
    return _each(texts, out, state, 0, value)


@lru_cache(maxsize=256)  # a column holds few different texts
def _boolean(text: bytes) -> tuple[bool, int]:
    stripped = text.strip(_SPACE).lower()
    if stripped in {b"", b"?"}:
        return False, EMPTY
    if stripped in _TRUE:
        return True, VALUE
    return False, VALUE if stripped in _FALSE else OTHER


def parse_booleans(data: Bytes, starts: Spans, stops: Spans, out: npt.NDArray[np.bool_], state: Bytes) -> int:
    """Read logicals (VOTable 1.5, section 2.1): T, F, 1, 0, true, false in any case; ``?`` and blanks are EMPTY."""
    found = [_boolean(text) for text in _texts(data, starts, stops)]
    out[:] = [value for value, _ in found]
    state[:] = states = [state for _, state in found]
    return states.count(OTHER)
