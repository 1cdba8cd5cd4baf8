"""From positions in a table (a catalogue) to corners of patches, and from coordinates to the patches that lie within."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.core.limits import check_decoded
from scichunk.errors import DataWarning
from scichunk.training.arrays import PatchArray
from scichunk.training.layers import Layer
from scichunk.training.samples import limits

__all__ = ["edges_along", "position_samples", "values_along"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_NEARLY = 1e-6
"""Share of a step by which evenly spaced values may miss it."""


def values_along(array: PatchArray, dim: str) -> npt.NDArray[Any] | None:
    """Return the coordinate of a dimension, or None if it has none.

    Raises
    ------
    LimitExceeded
        If it is beyond the limits: those of long axes take no memory before they are asked for.
    """
    labelled = array.labelled()
    if dim not in labelled.coords:
        return None
    check_decoded(f"the coordinate {dim!r}", labelled.coords[dim].nbytes, url=array.name)
    return np.asarray(labelled.coords[dim].values)


def edges_along(array: PatchArray, dim: str) -> tuple[Floats, Floats]:
    """Return the lower and the upper edge of each pixel along a dimension.

    Raises
    ------
    ValueError
        If it has no coordinate of numbers.
    """
    values = values_along(array, dim)
    if values is None or values.dtype.kind not in "iuf":
        msg = f"{array.name} has no coordinate along {dim!r} that bounds could be compared with"
        raise ValueError(msg)
    centres = values.astype(np.float64)
    if len(centres) < 2:
        return centres, centres
    if _is_even(centres):
        half = abs(centres[-1] - centres[0]) / (len(centres) - 1) / 2
        return centres - half, centres + half
    middles = (centres[1:] + centres[:-1]) / 2  # pixels reach to the middle between their centres
    borders = np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])
    return np.minimum(borders[:-1], borders[1:]), np.maximum(borders[:-1], borders[1:])


def _is_even(values: Floats) -> bool:
    """Whether values are evenly spaced."""
    step = (values[-1] - values[0]) / (len(values) - 1)
    return bool((abs(np.diff(values) - step) <= _NEARLY * abs(step)).all())


def position_samples(
    layers: Sequence[Layer], dims: Sequence[str], size: Sequence[int], table: Any, grain: Sequence[int]
) -> tuple[Ints, Ints, Ints]:
    """Return scenes, corners and row numbers of the patches around the positions of a table.

    Parameters
    ----------
    layers, dims, size
        Of the patches.
    table
        Columns by name: ``ra`` and ``dec`` (what the axes of the sky are called) in degrees, or in the unit that those of astropy have;
        ``row`` and ``col``, numbers of pixels; or the names of the dimensions, values of their coordinates. ``scene`` picks the scene of
        each.
    grain
        Corners are multiples of it.

    Warns
    -----
    DataWarning
        With the number of positions at which no patch lies within a scene.
    """
    names = _column_names(table)
    of_scene = _column(table, "scene") if "scene" in names else None
    scenes, corners, rows = [], [], []
    for scene, array in enumerate(layers[0].arrays):
        pixels = _pixels_of(array, dims, table, names)
        # as astropy's Cutout2D rounds, so that cut-outs agree
        first = np.ceil(pixels - np.asarray(size) / 2)
        with np.errstate(invalid="ignore"):
            inside = np.isfinite(first).all(axis=1) & (first >= 0).all(axis=1)
            inside &= (first <= np.asarray(limits(layers, scene, size))).all(axis=1)
        if of_scene is not None:
            inside &= np.asarray(of_scene) == scene
        which = np.flatnonzero(inside)
        step = np.asarray(grain, np.int64)
        corners.append(first[which].astype(np.int64) // step * step)
        scenes.append(np.full(len(which), scene, np.int64))
        rows.append(which.astype(np.int64))
    found = np.concatenate(rows)
    count = len(_column(table, names[0]))
    missed = count - len(np.unique(found))
    if missed:
        msg = f"{missed} of {count} positions have no patch: it would reach beyond the edge of the scene"
        warnings.warn(msg, DataWarning, stacklevel=4)
    order = np.argsort(found, kind="stable")
    return np.concatenate(scenes)[order], np.concatenate(corners)[order], found[order]


def _column_names(table: Any) -> list[str]:
    names: Any = getattr(table, "colnames", None)  # of astropy
    if names is None and hasattr(table, "data_vars"):
        names = [*table.data_vars, *table.coords]
    if names is None:
        names = getattr(getattr(table, "dtype", None), "names", None)
    if names is None:
        names = table.keys() if isinstance(table, Mapping) else getattr(table, "columns", ())
    found = [str(n) for n in names]
    if not found:
        msg = f"at= takes a table with named columns, got {type(table).__name__}"
        raise TypeError(msg)
    return found


def _column(table: Any, name: str) -> npt.NDArray[Any]:
    column = table[name]
    return np.asarray(column.compute() if hasattr(column, "compute") else column)


def _angles(table: Any, name: str) -> Floats:
    """Return a column in degrees: of astropy's quantities and columns with a unit, others are taken for degrees."""
    column = table[name]
    if getattr(column, "unit", None) is None or not hasattr(column, "to"):
        return _column(table, name).astype(np.float64)
    values = column.to("deg").value
    return np.asarray(values.filled(np.nan) if hasattr(values, "filled") else values, np.float64)


def _pixels_of(array: PatchArray, dims: Sequence[str], table: Any, names: Sequence[str]) -> Floats:
    """Positions in pixels of a scene, shape (rows, dims); NaN where there are none."""
    if {"row", "col"} <= {*names} and len(dims) == 2:
        return np.stack([_column(table, n).astype(np.float64) for n in ("row", "col")], axis=1)
    if set(dims) <= {*names}:
        return np.stack([_along(array, d, _column(table, d).astype(np.float64)) for d in dims], axis=1)
    return _sky_pixels(array, dims, table, names)


def _along(array: PatchArray, dim: str, wanted: Floats) -> Floats:
    """Positions of values of a coordinate, in pixels of the array; NaN of those beyond an uneven one."""
    values = values_along(array, dim)
    if values is None or values.dtype.kind not in "iuf" or len(values) < 2:
        return wanted
    return _place_among(values.astype(np.float64), wanted)


def _place_among(values: Floats, wanted: Floats) -> Floats:
    """Fractional positions among values that rise or fall; evenly spaced ones go on beyond their ends.

    Raises
    ------
    ValueError
        If they do neither.
    """
    steps, (first, last) = np.diff(values), (values[0], values[-1])
    found: Floats
    if _is_even(values) and first != last:
        found = (wanted - first) / (last - first) * (len(values) - 1)
        return found
    if not ((steps > 0).all() or (steps < 0).all()):
        msg = "positions cannot be found along a coordinate that neither rises nor falls"
        raise ValueError(msg)
    sign = 1.0 if steps[0] > 0 else -1.0
    places = np.arange(len(values), dtype=np.float64)
    low, high = values[0] - steps[0] / 2, values[-1] + steps[-1] / 2
    inside = (sign * wanted >= sign * low) & (sign * wanted <= sign * high)
    found = np.where(inside, np.interp(sign * wanted, sign * values, places), np.nan)
    return found


def _sky_pixels(array: PatchArray, dims: Sequence[str], table: Any, names: Sequence[str]) -> Floats:
    from scichunk.adapters.xarray.sky import image_of
    from scichunk.errors import FormatError
    from scichunk.sky.wcs import sky_pixels

    wanted = f"at= needs columns {' and '.join(dims)}, row and col, or those of the sky such as ra and dec; it has {', '.join(names)}"
    try:
        image = image_of(array.labelled())
    except FormatError as error:
        raise ValueError(wanted) from error
    pair = next((p for p in (image.axes.names, ("lon", "lat")) if {*p} <= {*names}), None)
    if pair is None or image.axes.sky is None:
        raise ValueError(wanted)
    lon, lat = (_angles(table, n) for n in pair)
    along = dict(zip(image.axes.sky, sky_pixels(image.header, image.axes, lon, lat, image.tables), strict=True))
    if set(dims) != set(along):
        msg = f"positions on the sky are along {list(along)}, and patches are cut along {list(dims)}"
        raise ValueError(msg)
    found = []
    for dim in dims:
        number = len(image.shape) - image.axes.dims.index(dim)
        left = image.pixels(
            number
        )  # pixels of the file: of a part of it, or of every second one, others than those of the array
        if left is None or (np.diff(left) == 1).all():
            found.append(along[dim] - (0 if left is None else left[0]))
        else:
            found.append(_place_among(left, along[dim]))
    return np.stack(found, axis=1)
