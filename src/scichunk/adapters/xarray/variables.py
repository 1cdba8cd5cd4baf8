"""From arrays and coordinates of a node to variables: masking and scaling, computed coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from xarray import conventions
from xarray.core import indexing

from scichunk.adapters.lazy import LazyArray
from scichunk.adapters.xarray.computed import LazyCoordinate
from scichunk.adapters.xarray.lazy import LazyVariable
from scichunk.core.files import STORED_DTYPE, STORED_FILL, ArrayVar, Coordinate
from scichunk.core.handles import Handle
from scichunk.core.planning import preferred_chunks
from scichunk.raster.affine import LinearAxis
from scichunk.raster.cf import Decoding, step_from

__all__ = [
    "Decoders",
    "Form",
    "chosen_arrays",
    "coordinate_variable",
    "form_of",
    "lazy_variable",
    "linear_coordinates",
]

_CF = ("_FillValue", "scale_factor", "add_offset")
_BY_BAND = ("nodatavals", "band_nodata", "scales", "offsets")


@dataclass(frozen=True, slots=True)
class Decoders:
    """The flags of :func:`xarray.open_dataset`."""

    mask_and_scale: Any = True
    decode_times: Any = True
    concat_characters: Any = True
    decode_coords: Any = True
    use_cftime: Any = None
    decode_timedelta: Any = None

    def masks(self, name: str) -> bool:
        """Whether a variable is to be masked and scaled."""
        flag = self.mask_and_scale
        return bool(flag.get(name, True) if isinstance(flag, Mapping) else flag is None or flag)


@dataclass(frozen=True, slots=True)
class Form:
    """What becomes of an array: how its values are decoded, and what is said of it."""

    attrs: dict[str, Any]
    encoding: dict[str, Any]
    decoding: Decoding | None


def chosen_arrays(arrays: Iterable[ArrayVar], flags: Decoders) -> list[ArrayVar]:
    """Return the arrays of a dataset under the user's flags: decoded, or as they are stored."""
    found = [v for v in arrays if not (v.stored and flags.masks(v.name))]
    return [v if v.raw is None or flags.masks(v.name) else v.raw for v in found]


def form_of(var: ArrayVar, flags: Decoders) -> Form:
    """Return the form of a variable under the user's flags."""
    attrs, encoding = dict(var.attrs), dict(var.encoding)
    decoding = None
    if flags.masks(var.name) and var.raw is None:
        decoding, attrs, more = _ask_decoding(var, attrs)
        encoding |= more
    elif not flags.decode_coords and "grid_mapping" in encoding:
        attrs["grid_mapping"] = encoding.pop("grid_mapping")
    return Form(attrs, encoding, decoding)


def lazy_variable(var: ArrayVar, handle: Handle, flags: Decoders) -> xr.Variable:
    """Make the variable of an array of one file."""
    form = form_of(var, flags)
    if "preferred_chunks" not in form.encoding:  # columns of a table share theirs
        form.encoding["preferred_chunks"] = dict(
            zip(var.dims, preferred_chunks(var.source.grid, var.source.dtype.itemsize), strict=True)
        )
    form.encoding.setdefault("source", handle.location.url)
    lazy = LazyVariable(LazyArray(handle, None, form.decoding))
    return xr.Variable(var.dims, indexing.LazilyIndexedArray(lazy), form.attrs, form.encoding)


def _ask_decoding(var: ArrayVar, attrs: dict[str, Any]) -> tuple[Decoding | None, dict[str, Any], dict[str, Any]]:
    """Ask xarray what decoding makes of an empty variable with these attributes; do the same in the reader."""
    if var.cf_by_band:
        templates = [_make_template(var, dict(cf)) for cf in var.cf_by_band]
        dtype = np.result_type(*(t.dtype for t in templates))
        steps = tuple(step_from(cf, t.dtype) for cf, t in zip(var.cf_by_band, templates, strict=True))
        # no single type, scale or fill value can bring the values back, so none may stay where xarray or rioxarray looks when it writes
        moved: dict[str, Any] = {"stored_" + name: attrs.pop(name) for name in _BY_BAND if name in attrs}
        attrs = {k: v for k, v in attrs.items() if k not in _CF}
        if any(step.fill is not None for step in steps):
            moved["_FillValue"] = dtype.type(np.nan)  # what is missing among decoded values
        return Decoding(dtype.str, steps), attrs, moved
    if not any(name in attrs for name in _CF):
        return None, attrs, {}
    template = _make_template(var, attrs)
    step = step_from(attrs, template.dtype)
    decoding, encoding = Decoding(template.dtype.str, (step,)), dict(template.encoding)
    if isinstance(step.fill, int) and int(template.dtype.type(step.fill)) != step.fill:
        # Written as integers, NaN would become the nearest double, which is not the fill value, so they are written as floats.
        encoding |= {STORED_FILL: encoding["_FillValue"], STORED_DTYPE: encoding["dtype"]}
        encoding |= {"_FillValue": template.dtype.type(np.nan), "dtype": template.dtype}
    return decoding, dict(template.attrs), encoding


def _make_template(var: ArrayVar, attrs: dict[str, Any]) -> xr.Variable:
    empty = xr.Variable(var.dims, np.empty((0,) * len(var.dims), var.source.dtype), attrs)
    return conventions.decode_cf_variable(
        var.name, empty, concat_characters=False, mask_and_scale=True, decode_times=False, decode_timedelta=False
    )


def linear_coordinates(name: str, axis: LinearAxis) -> xr.Coordinates:
    """Values computed when they are asked for, and found by arithmetic."""
    index = xr.indexes.RangeIndex.linspace(axis.first, axis.last, axis.size, dim=name)
    return xr.Coordinates.from_xindex(index)


def coordinate_variable(coordinate: Coordinate) -> xr.Variable:
    """Make the variable of a coordinate; computed ones stay lazy."""
    values = coordinate.values
    if not isinstance(values, np.ndarray):
        values = indexing.LazilyIndexedArray(LazyCoordinate(values))
    return xr.Variable(coordinate.dims, values, dict(coordinate.attrs))
