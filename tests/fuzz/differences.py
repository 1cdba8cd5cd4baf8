"""Whether our values are those of the reference library, and the differences that are no find."""

from __future__ import annotations

from typing import Any

import numpy as np

NO_FINDS = {
    "lossy": "damaged JPEG, WEBP and JPEG XL data are concealed by their libraries as each of their versions sees fit",
}
"""Reasons why a difference is none; each is named where it is applied."""

_LOSSY = ("jpeg", "webp", "jxl", "lerc")


def differs(kind: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Say how values of the same name differ; None if they do not, or if there is a reason why that is no find."""
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one is None or other is None:
            continue
        text = _rows_differ(one, other) if isinstance(one, dict) else _arrays_differ(one, other)
        if text and not excuse(kind, theirs, one, other):
            return f"{name}: {text}"
    return None


def excuse(kind: str, theirs: dict[str, Any], one: Any, other: Any) -> str | None:
    """The reason why a difference is no find, or None."""
    if kind == "geotiff" and any(word in theirs.get("codec", "").lower() for word in _LOSSY):
        return "lossy"
    return None


def _arrays_differ(one: np.ndarray, other: np.ndarray) -> str | None:
    if one.shape != other.shape:
        return f"shape {one.shape}, not {other.shape}"
    if ((one == other) | ((one != one) & (other != other))).all():
        return None
    place = tuple(int(i) for i in np.argwhere(~((one == other) | ((one != one) & (other != other))))[0])
    return f"{one.dtype} {one[place]!r} at {place}, not {other.dtype} {other[place]!r}"


def _rows_differ(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> str | None:
    for place in one.keys() & other.keys():
        text = _arrays_differ(one[place], other[place])
        if text:
            return f"{'rows and columns' if place < 0 else f'column {place}'}: {text}"
    return None
