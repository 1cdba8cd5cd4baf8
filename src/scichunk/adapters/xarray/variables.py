"""From arrays and coordinates of a node to variables: masking and scaling, times, computed coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

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
from scichunk.errors import MetadataWarning
from scichunk.raster.affine import LinearAxis
from scichunk.raster.cf import Decoding, step_from
from scichunk.warned import warn_caller

__all__ = [
    "Decoders",
    "Form",
    "chosen_arrays",
    "coordinate_variable",
    "form_of",
    "lazy_variable",
    "linear_coordinates",
    "may_be_time",
    "with_times",
]

_CF = ("_FillValue", "scale_factor", "add_offset")
_TIMES = ("since", "day", "hour", "minute", "second")
"""One of them is in all units that xarray takes for those of a time."""
_UNITS_OF_TIME = {
    **dict.fromkeys(("s", "sec", "secs"), "seconds"),
    **dict.fromkeys(("min", "mins"), "minutes"),
    **dict.fromkeys(("h", "hr", "hrs"), "hours"),
    "d": "days",
    **dict.fromkeys(("ms", "msec", "msecs"), "milliseconds"),
}
"""Units of times that xarray decodes, and the words by which it encodes them."""
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


def may_be_time(variable: xr.Variable) -> bool:
    """Whether xarray's decoding of times, or of characters, can change a variable: to ask it costs 0.1 ms a group."""
    attrs = variable.attrs
    if "dtype" in attrs or variable.dtype.kind == "S":
        return True
    units = attrs.get("units", "")
    return not isinstance(units, str) or any(word in units for word in _TIMES)


def with_times(
    variables: dict[str, xr.Variable], attrs: dict[str, Any], flags: Decoders, url: str
) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
    """Decode times; those whose units only look like a time stay as they are.

    Warns
    -----
    MetadataWarning
        For each variable that stays as it is.
    """

    def decode(some: dict[str, xr.Variable]) -> tuple[Any, Any]:
        decoded, more, _ = conventions.decode_cf_variables(
            cast("Any", some),
            cast("Any", attrs),
            mask_and_scale=False,
            concat_characters=bool(flags.concat_characters),
            decode_times=flags.decode_times,
            decode_coords=False,
            use_cftime=flags.use_cftime,
            decode_timedelta=flags.decode_timedelta,
        )
        for variable in decoded.values():
            _spell_out_units(variable.encoding)
        return decoded, more

    try:
        return decode(variables)
    except (ValueError, OverflowError):  # xarray gives up with the first of them, so each is asked by itself
        odd = {n: v for n, v in variables.items() if not _can_decode(n, v, decode, url)}
    decoded, attrs = decode({n: v for n, v in variables.items() if n not in odd})
    return {n: odd[n] if n in odd else decoded[n] for n in variables}, attrs


def _spell_out_units(encoding: dict[str, Any]) -> None:
    """Put units of decoded times in the words that xarray writes: of ``s since ...`` it reads the values and fails to write them."""
    units, since, rest = str(encoding.get("units", "")).partition(" since ")
    if since:
        encoding["units"] = _UNITS_OF_TIME.get(units.strip().lower(), units) + since + rest


def _can_decode(name: str, variable: xr.Variable, decode: Callable[..., Any], url: str) -> bool:
    try:
        decode({name: variable})
    except (ValueError, OverflowError) as error:
        why = str(error.__cause__ or error).partition(". ")[0]
        msg = f"times of {name!r} are left as numbers (units {variable.attrs.get('units')!r}): {why} [{url}]"
        warn_caller(msg, MetadataWarning)
        return False
    return True


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
