"""Pixel centres from affine transforms, ``x = c + a * column + b * row``, ``y = f + d * column + e * row``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.core.selection import parse_key

__all__ = [
    "LAZY_AXIS",
    "Affine6",
    "LinearAxis",
    "RotatedAxis",
    "is_georeferenced",
    "is_rotated",
    "pixel_centres",
    "scale_transform",
    "shift_transform",
]

Affine6 = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f), as in rasterio and odc-geo."""

LAZY_AXIS = 1 << 22
"""Axes longer than this get no coordinate values in memory."""


def is_georeferenced(transform: Affine6) -> bool:
    """Whether a transform says more than numbers of columns and rows."""
    return transform not in {(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)}


def is_rotated(transform: Affine6) -> bool:
    """Whether x depends on the row, or y on the column."""
    return transform[1] != 0 or transform[3] != 0


@dataclass(frozen=True, slots=True)
class LinearAxis:
    """Evenly spaced values, too many to write down."""

    first: float
    last: float
    size: int


Centres = npt.NDArray[np.float64] | LinearAxis


def pixel_centres(transform: Affine6, width: int, height: int) -> tuple[Centres, Centres]:
    """Return x of every column and y of every row; only without rotation."""
    a, _, _, _, e, _ = transform
    x, y = _first_centre(transform)
    return _pixel_centres(x, a, width), _pixel_centres(y, e, height)


def _first_centre(transform: Affine6) -> tuple[float, float]:
    """Centre of the first pixel, in the order of operations of the package ``affine``: to the last bit what rioxarray gives."""
    a, b, c, d, e, f = transform
    return a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f


def _pixel_centres(first: float, step: float, size: int) -> Centres:
    if size > LAZY_AXIS:
        return LinearAxis(first, step * (size - 1) + first, size)
    with np.errstate(invalid="ignore", over="ignore"):  # steps that are infinite
        return step * np.arange(size, dtype=np.float64) + first


def scale_transform(transform: Affine6, by_x: float, by_y: float) -> Affine6:
    """Transform of a reduced image, whose pixels are ``by_x`` times wider and ``by_y`` times higher."""
    a, b, c, d, e, f = transform
    return (a * by_x, b * by_y, c, d * by_x, e * by_y, f)


def shift_transform(transform: Affine6, columns: float, rows: float) -> Affine6:
    """Transform of an image that begins some pixels to the right of and below another."""
    a, b, c, d, e, f = transform
    return (a, b, c + a * columns + b * rows, d, e, f + d * columns + e * rows)


class RotatedAxis:
    """x or y of every pixel of a rotated raster, computed for what is asked.

    Parameters
    ----------
    transform
        Of the raster.
    shape
        (rows, columns).
    axis
        ``"x"`` or ``"y"``.
    """

    dtype = np.dtype("f8")

    def __init__(self, transform: Affine6, shape: tuple[int, int], axis: str) -> None:
        self.shape = shape
        x, y = _first_centre(transform)
        self._terms = (*transform[:2], x) if axis == "x" else (*transform[3:5], y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RotatedAxis) and (self.shape, self._terms) == (other.shape, other._terms)

    def __hash__(self) -> int:
        return hash((self.shape, self._terms))

    def __getitem__(self, key: Any) -> npt.NDArray[np.float64]:
        region = parse_key(key, self.shape)
        rows, columns = (np.asarray(a if isinstance(a, np.ndarray) else a.positions(), np.float64) for a in region.axes)
        by_column, by_row, first = self._terms
        found = columns[None, :] * by_column + rows[:, None] * by_row + first
        values: npt.NDArray[np.float64] = found[region.finish]
        return values
