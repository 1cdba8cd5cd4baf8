"""World coordinates of FITS images, from the text of their headers. astropy is the authority; it is asked late and seldom.

A WCS takes milliseconds to build, so nothing here builds one unless an axis needs it: names of dimensions are read off CTYPE, and
sky coordinates are computed for what is asked.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.files import Coordinate
from scichunk.core.selection import parse_key
from scichunk.errors import FormatError, MetadataWarning, ScichunkError
from scichunk.quiet import library_lock, quiet
from scichunk.sky.axes import Axes, axes_of, image_shape
from scichunk.sky.times import time_coordinate
from scichunk.sky.wcs_objects import celestial_of, find_wcs, frame_of, reference_point
from scichunk.warned import warn_caller

__all__ = [
    "Axes",
    "SkyCoordinate",
    "axes_in_memory",
    "axes_of",
    "coordinates",
    "find_wcs",
    "frame_of",
    "image_shape",
    "reference_point",
    "sky_pixels",
    "sky_values",
]

_AT_ONCE_PIXELS: Final = 1 << 16
_MOST_PIXELS: Final = 1 << 24  # longer axes get no coordinates in memory
_MOST_STEPS: Final = 1 << 34
"""Steps in tables for the coordinates of an axis; some seconds."""


def axes_in_memory(shape: tuple[int, ...], axes: Axes) -> list[int]:
    """Axes beside those of the sky that get coordinates in memory: those of one image are within ``options.max_chunk_bytes`` together.

    Images without pixels have none: a header alone may name axes of any length then.
    """
    if 0 in shape:
        return []
    found, room = [], min(_MOST_PIXELS, options.get().max_chunk_bytes // np.dtype(np.float64).itemsize)
    for number in axes.others:
        size = shape[len(shape) - number]
        if size <= room:
            room -= size
            found.append(number)
    return found


def coordinates(header: str, shape: tuple[int, ...], axes: Axes, tables: str = "") -> dict[str, Coordinate]:
    """Coordinates of the pixel axes that are tied to exactly one world axis, which is tied to them alone.

    Returns
    -------
    dict
        By dimension; values in the unit of the attribute ``units`` (SI, as astropy gives them), or ``datetime64`` for times whose
        reference is known. Axes of the sky have none: see :class:`SkyCoordinate`.
    """
    if not axes_in_memory(shape, axes):
        return {}
    try:
        with library_lock():
            return _make_coordinates(find_wcs(header, tables), header, shape, axes)
    except Exception as error:  # noqa: BLE001  # wcslib and astropy raise whatever they meet
        msg = f"no world coordinates: {type(error).__name__}: {error}"
        warn_caller(msg, MetadataWarning)
        return {}


def _make_coordinates(wcs: Any, header: str, shape: tuple[int, ...], axes: Axes) -> dict[str, Coordinate]:
    """Compute the coordinates of those pixel axes that are tied to one world axis each."""
    found: dict[str, Coordinate] = {}
    tied = np.asarray(wcs.axis_correlation_matrix)
    steps = _steps_of_tables(wcs)
    for number in axes_in_memory(shape, axes):
        pixel, size = number - 1, shape[len(shape) - number]
        if pixel >= tied.shape[1]:
            continue
        if size * steps > _MOST_STEPS:
            msg = f"no coordinates along {axes.dims[len(shape) - number]!r}: {size} pixels are too many for the tables of the coordinates"
            warn_caller(msg, MetadataWarning)
            continue
        worlds = np.flatnonzero(tied[:, pixel])
        if len(worlds) != 1 or tied[worlds[0]].sum() != 1:
            continue
        world = int(worlds[0])
        along = np.empty(size)
        for start in range(0, size, _AT_ONCE_PIXELS):  # wcslib takes some hundred bytes a pixel
            stop = min(size, start + _AT_ONCE_PIXELS)
            positions = [np.zeros(stop - start)] * tied.shape[1]
            positions[pixel] = np.arange(start, stop, dtype=np.float64)
            values = np.atleast_1d(wcs.pixel_to_world_values(*positions))
            along[start:stop] = np.reshape(values if wcs.world_n_dim == 1 else values[world], -1)
        if not np.isfinite(along).all():
            continue
        dim = axes.dims[len(shape) - number]
        made = _make_coordinate(wcs, header, dim, world, along)
        found[dim] = Coordinate(made.dims, made.values, {**made.attrs, "wcs_axis": number})
    return found


def _steps_of_tables(wcs: Any) -> int:
    """Steps that one position takes in tables of -TAB, at most: wcslib goes through their indexes one after another."""
    return sum(sum(int(length) for length in table.K) for table in wcs.wcs.tab)


def _make_coordinate(wcs: Any, header: str, dim: str, world: int, values: npt.NDArray[np.float64]) -> Coordinate:
    """Make the coordinate of a world axis: times as datetimes where their reference is known, else numbers with a unit."""
    attrs: dict[str, Any] = {}
    unit, kind = _spell_unit(wcs.world_axis_units[world]), wcs.world_axis_physical_types[world]
    if unit:
        attrs["units"] = unit
    if kind:
        attrs["physical_type"] = kind
    inner = wcs.wcs
    if inner.ctype[world]:
        attrs["ctype"] = str(inner.ctype[world])
    for key, value in (("specsys", inner.specsys), ("restfrq", inner.restfrq), ("restwav", inner.restwav)):
        if dim in {"frequency", "velocity", "wavelength", "energy"} and value:
            attrs[key] = str(value) if key == "specsys" else float(value)
    if dim == "stokes":
        attrs["flag_values"], attrs["flag_meanings"] = (
            [*range(-8, 0), 1, 2, 3, 4],
            "YX XY YY XX LR RL LL RR I Q U V",
        )
    if dim == "time":
        return time_coordinate(header, dim, values, attrs)
    return Coordinate((dim,), values, attrs)


def _spell_unit(unit: Any) -> str:
    """Spell a unit in the way that astropy, UDUNITS and pint all read: ``m / s`` instead of ``m.s**-1``."""
    text = str(unit or "").strip()
    if text.isalpha() or not text:
        return text
    from astropy import units

    with quiet():
        return str(units.Unit(text).to_string())


def sky_values(
    header: str, axes: Axes, lon_pixels: npt.NDArray[Any], lat_pixels: npt.NDArray[Any], tables: str = ""
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitude and latitude in degrees of 0-based positions along the dimensions of ``axes.sky``.

    Raises
    ------
    FormatError
        If astropy cannot compute them.
    """
    with library_lock(), np.errstate(all="ignore"):
        wcs = celestial_of(header, tables)
        if _is_swapped(axes):
            lon_pixels, lat_pixels = lat_pixels, lon_pixels
        to_world = wcs.all_pix2world if _is_distorted(wcs) else wcs.wcs_pix2world
        try:
            world = to_world(lon_pixels, lat_pixels, 0)
        except Exception as error:  # wcslib and astropy raise whatever they meet
            msg = f"astropy cannot compute positions on the sky: {type(error).__name__}: {str(error).strip()}"
            raise FormatError(msg) from error
    lon, lat = (world[wcs.wcs.lng], world[wcs.wcs.lat])
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def sky_pixels(
    header: str, axes: Axes, lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64], tables: str = ""
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """0-based positions along the dimensions of ``axes.sky`` of longitudes and latitudes in degrees; NaN where there are none."""
    with library_lock(), np.errstate(all="ignore"):
        wcs = celestial_of(header, tables)
        world = (lon, lat) if wcs.wcs.lng == 0 else (lat, lon)
        pixels = _to_pixels(wcs, *world)
    first, second = (np.asarray(p, np.float64) for p in pixels)
    return (second, first) if _is_swapped(axes) else (first, second)


def _to_pixels(wcs: Any, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Any:
    """Invert a WCS; where the distortion cannot be inverted there is no pixel."""
    with quiet():
        try:
            return wcs.world_to_pixel_values(first, second)
        except ScichunkError:
            raise
        except Exception as error:  # wcslib and astropy raise whatever they meet
            best = getattr(error, "best_solution", None)  # of NoConvergence: good ones among them
            if best is None:
                msg = f"astropy cannot find pixels: {type(error).__name__}: {error}"
                raise FormatError(msg) from error
            shape = np.broadcast(first, second).shape
            found = np.array(best, np.float64)
            for bad in (getattr(error, "divergent", None), getattr(error, "slow_conv", None)):
                if bad is not None:
                    found[bad] = np.nan
            return found[:, 0].reshape(shape), found[:, 1].reshape(shape)


def _is_swapped(axes: Axes) -> bool:
    """Whether latitude comes before longitude among the FITS axes, as then in the celestial WCS."""
    lon, lat = axes.sky or ("", "")
    return axes.dims.index(lon) < axes.dims.index(lat)


def _is_distorted(wcs: Any) -> bool:
    return bool(wcs.has_distortion)


class SkyCoordinate:
    """Longitude or latitude of every pixel, computed for what is asked.

    Parameters
    ----------
    header, axes
        Of the image.
    shape
        (length along the latitude dimension, length along the longitude dimension).
    latitude
        Which of the two.
    tables
        Tables that the header refers to.
    """

    dtype = np.dtype("f8")

    def __init__(self, header: str, axes: Axes, shape: tuple[int, int], *, latitude: bool, tables: str = "") -> None:
        self.shape = shape
        self._header, self._axes, self._latitude, self._tables = header, axes, latitude, tables

    def __getitem__(self, key: Any) -> npt.NDArray[np.float64]:
        region = parse_key(key, self.shape)
        rows, columns = (np.asarray(a if isinstance(a, np.ndarray) else a.positions(), np.float64) for a in region.axes)
        found = np.empty((rows.size, columns.size))
        step = max(1, _AT_ONCE_PIXELS // max(1, columns.size))
        for first in range(0, rows.size, step):  # wcslib takes some hundred bytes a pixel
            x, y = np.broadcast_arrays(columns[None, :], rows[first : first + step, None])
            found[first : first + step] = sky_values(self._header, self._axes, x, y, self._tables)[int(self._latitude)]
        values: npt.NDArray[np.float64] = found[region.finish]
        return values
