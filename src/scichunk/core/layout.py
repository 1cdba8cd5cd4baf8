"""What must agree for arrays of several files to lie on each other, by meaning and not by bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

__all__ = ["Grid", "Layout"]

_PIXELS: Final = 1e-6
"""Grids that differ by less lie on each other."""
_RELATIVE: Final = 1e-9
"""Numbers of headers that were computed in two ways differ by a few units in the last place."""
_EXACT: Final = frozenset({"nodata", "null", "blank", "_FillValue"})
"""What is compared with stored values: there, the value beside it is a value."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a raster lie: ``x = c + a * column + b * row``, ``y = f + d * column + e * row``."""

    transform: tuple[float, float, float, float, float, float]
    """(a, b, c, d, e, f)."""
    width: int
    height: int

    def shift(self, other: Grid) -> float:
        """Return the largest distance between corners of two grids, in pixels of this one; infinite where that is no number."""
        if repr(self.transform) == repr(other.transform) and (self.width, self.height) == (other.width, other.height):
            return 0.0  # also of numbers that make no sense, of which nothing below can be computed
        a, b, c, d, e, f = self.transform
        determinant = a * e - b * d
        worst = 0.0
        for column in (0, self.width):
            for row in (0, self.height):
                x, y = _transform_point(other.transform, column, row)
                if determinant == 0:
                    mine = _transform_point(self.transform, column, row)
                    worst = max(worst, 0.0 if mine == (x, y) else math.inf)
                    continue
                back_column = (e * (x - c) - b * (y - f)) / determinant
                back_row = (a * (y - f) - d * (x - c)) / determinant
                worst = max(worst, abs(back_column - column), abs(back_row - row))
                if math.isnan(back_column) or math.isnan(back_row):  # which is larger than nothing
                    return math.inf
        return worst


def _transform_point(transform: tuple[float, ...], column: int, row: int) -> tuple[float, float]:
    a, b, c, d, e, f = transform
    return c + a * column + b * row, f + d * column + e * row


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape, type and meaning of an array.

    Parameters
    ----------
    shape, dtype
        Of its values.
    grid
        Where its pixels lie, if it is a raster.
    meaning
        What must be equal, by name: coordinate system, nodata, scaling, spectral axes. Numbers agree within a relative 1e-9, but those
        that stand for missing data exactly; NaN agrees with NaN.
    pointing
        What may differ, with a warning: where the image of the sky points.
    fill
        Value of missing data that the file declares.
    sky
        For images of the sky: the cards of a FITS header that place the pixels, and the tables that they refer to.
    """

    shape: tuple[int, ...]
    dtype: str
    grid: Grid | None = None
    meaning: Mapping[str, Any] = field(default_factory=dict)
    pointing: Mapping[str, Any] = field(default_factory=dict)
    fill: Any = None
    sky: tuple[str, str] | None = None

    def difference(self, other: Layout) -> str:
        """Say what keeps another array from lying on this one; empty if nothing does."""
        if self.shape != other.shape:
            return f"its shape is {other.shape} instead of {self.shape}"
        if self.dtype != other.dtype:
            return f"its type is {other.dtype} instead of {self.dtype}"
        if (self.grid is None) != (other.grid is None):
            return f"it has {'no' if other.grid is None else 'a'} grid"
        if self.grid is not None and other.grid is not None:
            shift = self.grid.shift(other.grid)
            if not shift <= _PIXELS:
                return f"its grid is off by {shift:.3g} pixels: transform {other.grid.transform} instead of {self.grid.transform}"
        return _first_difference(self.meaning, other.meaning)

    def pointing_difference(self, other: Layout) -> str:
        """Say whether another image of the sky points elsewhere."""
        return _first_difference(self.pointing, other.pointing)


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    for name in dict.fromkeys([*one, *other]):
        if not _mean_the_same(one.get(name), other.get(name), 0.0 if name in _EXACT else _RELATIVE):
            return f"{name} is {_shorten(other.get(name))} instead of {_shorten(one.get(name))}"
    return ""


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _mean_the_same(one: Any, other: Any, relative: float) -> bool:
    """Whether two values mean the same; numbers of them may differ by some part."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            _mean_the_same(one[k], other[k], 0.0 if k in _EXACT else relative) for k in one
        )
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        a, b = np.asarray(one), np.asarray(other)
        if a.shape != b.shape:
            return False
        if a.dtype.kind in "fc" and b.dtype.kind in "fc":
            return bool(np.allclose(a, b, rtol=relative, atol=0, equal_nan=True))
        return bool(np.array_equal(a, b))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_mean_the_same(a, b, relative) for a, b in zip(one, other, strict=True))
    if isinstance(one, int | float | np.number) and isinstance(other, int | float | np.number):
        if one == other:
            return True
        x, y = float(one), float(other)
        return (math.isnan(x) and math.isnan(y)) or (relative > 0 and math.isclose(x, y, rel_tol=relative))
    return bool(one == other)
