"""Pixels by their position on the sky, and rectangles of them: what ``ds.sky`` does."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from scichunk.adapters.xarray.sky import HEADERS, SkyImage, image_of
from scichunk.core.limits import is_computable_unit
from scichunk.errors import FormatError
from scichunk.sky.wcs import frame_of, sky_pixels, sky_values

__all__ = ["RANGE_IS_BOX", "cut_box", "select_nearest"]

RANGE_IS_BOX = "a range of positions is a box: ds.sky.box"
Floats = npt.NDArray[np.float64]
_EDGE_POINTS = 129
"""Positions along an edge of a box at which it is followed into pixels."""
_MARGIN_PIXELS = 3
"""Pixels around the outline of a box that are looked at one by one: between its positions the edge is not straight."""
_DEGREES = {"", "deg", "degree", "degrees", "degrees_east", "degrees_north"}
_NEARLY = 1e-10
"""Degrees by which the centre of a pixel on the edge of a box may miss it."""


@dataclass(frozen=True, slots=True)
class Points:
    """Positions on the sky in degrees, in the frame of the image."""

    lon: Floats
    lat: Floats
    dims: tuple[Hashable, ...]
    coords: Mapping[Hashable, xr.Variable]
    """Coordinates that they came with."""


def select_nearest(
    obj: Any, position: Any, lonlat: Mapping[str, Any], *, method: str, tolerance: Any, outside: Any
) -> Any:
    """Select the nearest pixels; see :meth:`scichunk.adapters.xarray.SkyAccessor.sel`."""
    if method != "nearest":
        msg = f"positions fall between pixels: method is 'nearest', not {method!r}"
        raise ValueError(msg)
    if outside not in {None, "nan", "raise"}:
        msg = f'outside must be "nan" or "raise", got {outside!r}'
        raise ValueError(msg)
    images = _split_images(obj)
    image = next(i for i in images if i is not None)
    points = _make_points(image, position, lonlat)
    dims = points.dims if len(images) == 1 else (_dim_of_images(obj), *points.dims)
    shape = points.lon.shape if len(images) == 1 else (len(images), *points.lon.shape)
    found = [
        _find_nearest(i, _in_frame(i, position, points), tolerance) if i else _find_nothing(points) for i in images
    ]
    columns, rows, inside, lon, lat = (np.stack(part).reshape(shape) for part in zip(*found, strict=True))
    if outside == "raise" or (outside is None and not dims):
        _all_inside(image, points, inside)
    x, y = (image.name_of(number) for number in _sky_axes(image))
    picked = obj.isel(
        {x: xr.Variable(dims, columns) if dims else int(columns), y: xr.Variable(dims, rows) if dims else int(rows)}
    )
    if not inside.all():
        there = xr.DataArray(inside, dims=dims)
        picked = _mask_outside(obj, picked, there, {x, y})
    attrs = {"units": "deg", "long_name": "centre of the pixel"}
    names, centres = image.axes.names, (lon, lat)
    made: dict[Any, Any] = {n: xr.Variable(dims, v, attrs) for n, v in zip(names, centres, strict=True)}
    made |= {n: v for n, v in points.coords.items() if n not in obj.coords and n not in made}
    return picked.drop_vars(names, errors="ignore").assign_coords(made)


def _mask_outside(obj: Any, picked: Any, inside: xr.DataArray, sky: set[Hashable]) -> Any:
    """Replace what was picked for positions outside of the image by NaN."""
    if isinstance(obj, xr.DataArray):
        found = picked.where(inside)
    else:
        found = picked.assign({n: picked[n].where(inside) for n, v in obj.data_vars.items() if sky & {*v.dims}})
    labels = {n: picked[n].where(inside) for n in sky if n in picked.coords}
    return found.assign_coords(labels)


def _all_inside(image: SkyImage, points: Points, inside: npt.NDArray[np.bool_]) -> None:
    if not inside.all():
        lon, lat = image.axes.names
        bad = np.unravel_index(int(np.argmin(inside)), inside.shape)[inside.ndim - points.lon.ndim :]
        msg = f"{lon} {points.lon[bad]:.6f}, {lat} {points.lat[bad]:.6f} is not in the image"
        raise KeyError(msg)


def _split_images(obj: Any) -> list[SkyImage | None]:
    """The image; or those of a stack that point to different places, one by one, None for files that could not be read."""
    several = obj.coords.get(HEADERS)
    if several is None or several.ndim != 1:
        found: list[SkyImage | None] = [image_of(obj)]
    else:
        (dim,) = several.dims
        found = [image_of(obj.isel({dim: i})) if text else None for i, text in enumerate(several.values)]
    image = next((i for i in found if i is not None), None)
    if image is None:
        msg = "there is no image whose place on the sky is known"
        raise FormatError(msg)
    if image.axes.sky is None:
        msg = "the image has no celestial axes"
        raise FormatError(msg)
    for name in map(image.name_of, _sky_axes(image)):
        if name not in image.array.dims:
            msg = f"the dimension {name} of the sky is gone"
            raise FormatError(msg)
    return found


def _dim_of_images(obj: Any) -> Hashable:
    dim: Hashable = obj.coords[HEADERS].dims[0]
    return dim


def _sky_axes(image: SkyImage) -> tuple[int, int]:
    """Numbers of the axes of longitude and latitude in the header."""
    lon, lat = image.axes.sky or ("", "")
    n = len(image.shape)
    return n - image.axes.dims.index(lon), n - image.axes.dims.index(lat)


def _sky_pixels(image: SkyImage) -> tuple[Floats, Floats]:
    """Pixel numbers along the dimensions of longitude and latitude."""
    found = []
    for number in _sky_axes(image):
        pixels = image.pixels(number)
        if pixels is None:
            msg = f"it cannot be told which part of {image.name_of(number)} this is: its coordinate is gone"
            raise FormatError(msg)
        found.append(pixels)
    return found[0], found[1]


def _find_nearest(image: SkyImage, points: Points, tolerance: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Positions along both dimensions, which of the points are inside, and the centres of the pixels."""
    axes = _sky_pixels(image)
    wanted = sky_pixels(image.header, image.axes, points.lon, points.lat, image.tables)
    (columns, in_columns), (rows, in_rows) = (_find_closest(a, w) for a, w in zip(axes, wanted, strict=True))
    inside = in_columns & in_rows
    columns, rows = np.where(inside, columns, 0), np.where(inside, rows, 0)
    if axes[0].size and axes[1].size:
        lon, lat = sky_values(image.header, image.axes, axes[0][columns], axes[1][rows], image.tables)
    else:
        msg = "no pixel of the image is left"
        raise KeyError(msg)
    if tolerance is not None:
        inside = inside & (_separate(lon, lat, points) <= _to_degrees(tolerance))
    return columns, rows, inside, np.where(inside, lon, np.nan), np.where(inside, lat, np.nan)


def _find_nothing(points: Points) -> tuple[Any, Any, Any, Any, Any]:
    """What :func:`_find_nearest` gives of a file that could not be read."""
    at, lost = np.zeros(points.lon.shape, np.intp), np.full(points.lon.shape, np.nan)
    return at, at, np.zeros(points.lon.shape, bool), lost, lost


def _find_closest(pixels: Floats, wanted: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Positions among pixel numbers, and whether they are within half of the spacing."""
    if not pixels.size:
        return np.zeros(wanted.shape, np.intp), np.zeros(wanted.shape, bool)
    order = np.argsort(pixels, kind="stable")
    ascending = pixels[order]
    gaps = np.diff(ascending)
    half = float(np.median(gaps)) / 2 if gaps.size else 0.5
    with np.errstate(invalid="ignore"):
        filled = np.where(np.isfinite(wanted), wanted, ascending[0])
        at = np.searchsorted((ascending[1:] + ascending[:-1]) / 2, filled)
        inside = np.isfinite(wanted) & (np.abs(ascending[at] - wanted) <= half)
    return order[at], inside


def _separate(lon: Floats, lat: Floats, points: Points) -> Floats:
    """Distance on the sphere in degrees."""
    a, b, c, d = (np.deg2rad(v) for v in (lon, lat, points.lon, points.lat))
    chord = np.sin((b - d) / 2) ** 2 + np.cos(b) * np.cos(d) * np.sin((a - c) / 2) ** 2
    found: Floats = np.rad2deg(2 * np.arcsin(np.sqrt(chord.clip(0, 1))))
    return found


def _to_degrees(value: Any) -> Floats:
    """Numbers in degrees of numbers, quantities, angles, or arrays of them."""
    inner = value.data if isinstance(value, xr.DataArray | xr.Variable) else value
    to_value = getattr(inner, "to_value", None)  # of astropy's quantities
    if to_value is None and isinstance(inner, list | tuple) and any(hasattr(v, "to_value") for v in inner):
        return np.array([_to_degrees(v) for v in inner], np.float64)
    if to_value is None and isinstance(value, xr.DataArray | xr.Variable):
        return np.asarray(inner, np.float64) * _degrees_of(value.attrs.get("units"))
    return np.asarray(to_value("deg") if to_value else inner, np.float64)


def _degrees_of(unit: Any) -> float:
    """Degrees of a unit of angles, which columns of a catalogue name in their attributes; 1 of what is none."""
    if not isinstance(unit, str) or unit.strip() in _DEGREES or not is_computable_unit(unit):
        return 1.0
    from astropy import units

    known = units.Unit(unit, parse_strict="silent")
    return float(known.to("deg")) if known.is_equivalent("deg") else 1.0


def _is_skycoord(position: Any) -> bool:
    return hasattr(position, "transform_to") and hasattr(position, "spherical")


def _on_sky(image: SkyImage, position: Any) -> tuple[Floats, Floats]:
    """Longitude and latitude of a SkyCoord in the frame of the image."""
    if not _is_skycoord(position):
        msg = f"a position is a SkyCoord, or given by {'=, '.join(image.axes.names)}=; got {type(position).__name__}"
        raise TypeError(msg)
    sphere = position.transform_to(frame_of(image.header, image.tables)).spherical
    return np.asarray(sphere.lon.deg, np.float64), np.asarray(sphere.lat.deg, np.float64)


def _order_pair(image: SkyImage, lonlat: Mapping[str, Any]) -> tuple[Any, Any]:
    """Longitude and latitude as they were named."""
    for names in (image.axes.names, ("lon", "lat")):
        if set(lonlat) == set(names):
            return lonlat[names[0]], lonlat[names[1]]
    lon, lat = image.axes.names
    msg = f"a position needs both {lon} and {lat}, and nothing else; got {', '.join(lonlat) or 'nothing'}"
    raise ValueError(msg)


def _make_points(image: SkyImage, position: Any, lonlat: Mapping[str, Any]) -> Points:
    """What the user named, broadcast."""
    if position is not None:
        if lonlat:
            msg = "give a position, or longitude and latitude, not both"
            raise TypeError(msg)
        lon, lat = _on_sky(image, position)
        return Points(lon, lat, _names_of(lon.ndim), {})
    pair: list[xr.DataArray] = []
    coords: dict[Hashable, xr.Variable] = {}
    for value in _order_pair(image, lonlat):
        if isinstance(value, slice):
            raise TypeError(RANGE_IS_BOX)
        array = _to_degrees(value)
        if isinstance(value, xr.DataArray):
            coords |= {n: c.variable for n, c in value.coords.items()}
        dims = value.dims if isinstance(value, xr.DataArray | xr.Variable) else _names_of(array.ndim)
        pair.append(xr.DataArray(array, dims=dims))
    first, second = xr.broadcast(*pair)
    return Points(first.values, second.values, first.dims, coords)


def _in_frame(image: SkyImage, position: Any, points: Points) -> Points:
    """Points in the frame of one of several images, which need not be that of the first."""
    if position is None:
        return points
    lon, lat = _on_sky(image, position)
    return replace(points, lon=lon, lat=lat)


def _names_of(ndim: int) -> tuple[str, ...]:
    return ("points",) if ndim == 1 else tuple(f"points_{i}" for i in range(ndim))


# ---------------------------------------------------------------- boxes


def cut_box(obj: Any, position: Any, size: Any, lonlat: Mapping[str, Any]) -> Any:
    """Cut out a box; see :meth:`scichunk.adapters.xarray.SkyAccessor.box`."""
    images = [i for i in _split_images(obj) if i is not None]
    spans = [_find_rectangle(image, *_find_corners(image, position, size, lonlat)) for image in images]
    x, y = (images[0].name_of(number) for number in _sky_axes(images[0]))
    return obj.isel({x: _unite_spans([s[0] for s in spans]), y: _unite_spans([s[1] for s in spans])})


def _unite_spans(spans: Sequence[tuple[int, int]]) -> slice:
    """Slice of what is in any of several spans."""
    full = [s for s in spans if s[1] > s[0]]
    return slice(min(s[0] for s in full), max(s[1] for s in full)) if full else slice(0, 0)


def _parse_ends(value: Any) -> tuple[float, float]:
    """Both ends of a range in degrees."""
    if not isinstance(value, slice) and not np.iterable(value):
        msg = f"a range is a slice or a pair, and {value!r} is not iterable; with size= a position is the centre of the box"
        raise TypeError(msg)
    ends = (value.start, value.stop) if isinstance(value, slice) else tuple(value)
    if len(ends) != 2 or any(e is None for e in ends):
        msg = f"a range has two ends, got {value!r}"
        raise ValueError(msg)
    return float(_to_degrees(ends[0])), float(_to_degrees(ends[1]))


def _find_corners(
    image: SkyImage, position: Any, size: Any, lonlat: Mapping[str, Any]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of longitude, from west to east with the second end never below the first, and of latitude."""
    if position is not None and lonlat:
        msg = "give a position, or longitude and latitude, not both"
        raise TypeError(msg)
    if size is None:
        if position is not None:
            lons, lats = _on_sky(image, position)
            if lons.shape != (2,):
                msg = "a box is a SkyCoord of two corners, or of the centre with size="
                raise ValueError(msg)
            west, east = sorted(lons.tolist())
            if east - west > 180:  # two corners lie on the nearer side of each other
                west, east = east, west
            low, high = sorted(lats.tolist())
        else:
            (west, east), (low, high) = (_parse_ends(v) for v in _order_pair(image, lonlat))
            low, high = min(low, high), max(low, high)
            if 0 < west - east <= 180:  # longitudes are often named from left to right; else the box reaches through 0
                west, east = east, west
    else:
        lon, lat = (
            _on_sky(image, position) if position is not None else (_to_degrees(v) for v in _order_pair(image, lonlat))
        )
        if np.ndim(lon) or np.ndim(lat):
            msg = "with size= the position is one centre"
            raise ValueError(msg)
        width, height = np.broadcast_to(_to_degrees(size), (2,)).tolist()
        low, high = max(-90.0, float(lat) - height / 2), min(90.0, float(lat) + height / 2)
        half = width / 2 / max(1e-12, float(np.cos(np.deg2rad(lat))))
        west, east = (float(lon) - half, float(lon) + half) if half < 180 else (0.0, 360.0)
    span = 360.0 if abs(east - west) >= 360 else (east - west) % 360
    return (west, west + span), (low, high)


def _find_rectangle(
    image: SkyImage, lons: tuple[float, float], lats: tuple[float, float]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Positions along the dimensions of longitude and latitude, from and to, of the pixels within a box."""
    columns, rows = _sky_pixels(image)
    if not (columns.size and rows.size):
        return (0, 0), (0, 0)
    along, up = np.linspace(*lons, _EDGE_POINTS), np.linspace(*lats, _EDGE_POINTS)
    lon, lat = (v.ravel() for v in np.meshgrid(along, up))
    x, y = sky_pixels(image.header, image.axes, lon, lat, image.tables)
    found = np.isfinite(x) & np.isfinite(y)
    if not found.any():
        return (0, 0), (0, 0)
    spans = [_find_outline(p, v[found]) for p, v in ((columns, x), (rows, y))]
    return _trim_edges(image, (columns, rows), spans, (lons, lats))


def _find_outline(pixels: Floats, wanted: Floats) -> tuple[int, int]:
    """Positions of the pixels between the least and the greatest that are wanted, with a margin."""
    spacing = float(np.median(np.abs(np.diff(pixels)))) if pixels.size > 1 else 1.0
    # the edge bends between the positions at which it was followed by less than the positions are apart
    margin = _MARGIN_PIXELS * spacing
    inside = np.flatnonzero((pixels >= wanted.min() - margin) & (pixels <= wanted.max() + margin))
    return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)


def _trim_edges(
    image: SkyImage,
    pixels: tuple[Floats, Floats],
    spans: Sequence[tuple[int, int]],
    box: tuple[tuple[float, float], tuple[float, float]],
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Take away rows and columns at the edges as long as no centre in them lies within the box."""
    left, right = spans[0]
    bottom, top = spans[1]
    (west, east), (low, high) = box

    def empty(columns: slice, rows: slice) -> bool:
        x, y = np.meshgrid(pixels[0][columns], pixels[1][rows])
        lon, lat = sky_values(image.header, image.axes, x, y, image.tables)
        across = (lon - west + _NEARLY) % 360 <= east - west + 2 * _NEARLY
        return not bool((across & (lat >= low - _NEARLY) & (lat <= high + _NEARLY)).any())

    while left < right and bottom < top:
        if empty(slice(left, left + 1), slice(bottom, top)):
            left += 1
        elif empty(slice(right - 1, right), slice(bottom, top)):
            right -= 1
        elif empty(slice(left, right), slice(bottom, bottom + 1)):
            bottom += 1
        elif empty(slice(left, right), slice(top - 1, top)):
            top -= 1
        else:
            return (left, right), (bottom, top)
    return (0, 0), (0, 0)
