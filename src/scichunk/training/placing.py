"""Where the pixels of predictions lie: those of the scene as it was given, which may be a part of a raster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.raster.affine import LAZY_AXIS, Affine6, shift_transform
from scichunk.training.arrays import PatchArray

__all__ = ["find_crs", "find_transform", "is_georeferenced", "with_transform"]

_GRID: Final = "spatial_ref"
_TRANSFORM: Final = "GeoTransform"
_NEARLY: Final = 1e-6
"""Share of a pixel by which coordinates may miss even distances, and whole numbers of pixels."""
_Line = tuple[float, float | None]
"""The first of evenly spaced values, and how far they are apart; None of one value."""


def find_crs(array: PatchArray) -> Any:
    """Return the coordinate system of a scene as text; None if it has none."""
    coords = array.labelled().coords
    return coords[_GRID].attrs.get("crs_wkt") if _GRID in coords else None


def is_georeferenced(array: PatchArray) -> bool:
    """Whether a raster says where its pixels lie."""
    coords = array.labelled().coords
    return _GRID in coords and _TRANSFORM in coords[_GRID].attrs


def find_transform(array: PatchArray, dims: Sequence[str]) -> Affine6 | None:
    """Return where the pixels of a scene lie; None if it is not georeferenced, or if they are not evenly spaced.

    A raster says in an attribute where the pixels of the whole of it lie, and xarray leaves that as it is where a part or every second
    pixel is picked. The coordinates follow what is picked, so they decide.

    Parameters
    ----------
    array
        Of the scene.
    dims
        Names of the dimensions of rows and columns.
    """
    labelled = array.labelled()
    if _GRID not in labelled.coords:
        return None
    whole = _parse_transform(labelled.coords[_GRID].attrs.get(_TRANSFORM))
    rows, columns = (_values_along(labelled, dim) for dim in dims)
    if rows is not None and columns is not None:
        lines = _find_line(rows), _find_line(columns)
        return None if lines[0] is None or lines[1] is None else _from_lines(lines[0], lines[1], whole)
    if whole is None:
        return None
    if {"xc", "yc"} <= {*labelled.coords} and labelled.coords["xc"].dims == tuple(dims):
        return _from_corners(labelled.coords["xc"], labelled.coords["yc"], whole)
    return array.transform or whole


def with_transform(coords: dict[Any, Any], transform: Affine6 | None) -> dict[Any, Any]:
    """Return coordinates whose grid mapping says where the pixels of an array lie, or nothing of it where that is not known."""
    if _GRID not in coords or _TRANSFORM not in coords[_GRID].attrs:
        return coords
    grid = coords[_GRID].copy()
    grid.attrs = {name: value for name, value in grid.attrs.items() if name != _TRANSFORM}
    if transform is not None:
        a, b, c, d, e, f = transform
        grid.attrs[_TRANSFORM] = " ".join(map(str, (c, a, b, f, d, e)))
    return {**coords, _GRID: grid}


def _parse_transform(text: Any) -> Affine6 | None:
    """Parse the attribute of a grid mapping, which has the order of GDAL."""
    if text is None:
        return None
    c, a, b, f, d, e = map(float, str(text).split())
    return (a, b, c, d, e, f)


def _values_along(labelled: Any, dim: str) -> npt.NDArray[np.float64] | None:
    """Return the coordinate of a dimension; None if it has none of numbers."""
    if dim not in labelled.coords or labelled.coords[dim].dims != (dim,):
        return None
    from xarray.indexes import RangeIndex

    # Of those of long axes, which are computed and evenly spaced, the first values say all.
    most = LAZY_AXIS if isinstance(labelled.xindexes.get(dim), RangeIndex) else None
    values = np.asarray(labelled.coords[dim][:most].values)
    return values.astype(np.float64) if values.dtype.kind in "iuf" and values.size else None


def _find_line(values: npt.NDArray[np.float64]) -> _Line | None:
    """Return evenly spaced values as a line; None if they are not."""
    if values.size == 1:
        return float(values[0]), None
    step = float(values[-1] - values[0]) / (values.size - 1)
    even = np.isfinite(step) and step and (abs(np.diff(values) - step) <= _NEARLY * values.size * abs(step)).all()
    return (float(values[0]), step) if even else None


def _from_lines(rows: _Line, columns: _Line, whole: Affine6 | None) -> Affine6 | None:
    """Make the transform of evenly spaced rows and columns; of a part of the whole to the last bit as it is made from that."""
    (y, down), (x, across) = rows, columns
    if whole is None:
        return None if not across or not down else (across, 0.0, x - across / 2, 0.0, down, y - down / 2)
    a, _, c, _, e, f = whole
    across, down = across or a, down or e
    if abs(across - a) <= _NEARLY * abs(a) and abs(down - e) <= _NEARLY * abs(e):
        left, top = (x - c) / a - 0.5, (y - f) / e - 0.5
        if max(abs(left - round(left)), abs(top - round(top))) <= _NEARLY * max(1.0, abs(left), abs(top)):
            return shift_transform(whole, round(left), round(top))
    return (across, 0.0, x - across / 2, 0.0, down, y - down / 2)


def _from_corners(xc: Any, yc: Any, whole: Affine6) -> Affine6:
    """Make the transform of a rotated raster from the centres of its first pixels."""
    a, b, _, d, e, _ = whole
    across = [float(v[0, 1] - v[0, 0]) if v.shape[1] > 1 else given for v, given in ((xc, a), (yc, d))]
    down = [float(v[1, 0] - v[0, 0]) if v.shape[0] > 1 else given for v, given in ((xc, b), (yc, e))]
    x, y = (float(v[0, 0]) - (i + j) / 2 for v, i, j in zip((xc, yc), across, down, strict=True))
    found = (across[0], down[0], x, across[1], down[1], y)
    size = max(map(abs, (a, b, d, e)))
    same = all(abs(m - n) <= _NEARLY * size for m, n in zip(found, whole, strict=True))
    return whole if same else found
