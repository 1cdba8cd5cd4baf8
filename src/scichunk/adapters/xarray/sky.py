"""Images of the sky in xarray: their coordinates, and where the pixels of any slice of them lie in the file."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.core.indexing import LazilyIndexedArray

from scichunk.core.limits import check_decoded
from scichunk.errors import FormatError, ScichunkError
from scichunk.sky.subgrid import AxisGrid, sub_grid
from scichunk.sky.wcs import Axes, SkyCoordinate, axes_of, coordinates, find_wcs, image_shape

__all__ = [
    "HEADER",
    "HEADERS",
    "TABLES",
    "SkyImage",
    "image_of",
    "is_position",
    "sky_coordinates",
    "wcs",
    "with_own_header",
    "with_skies",
]

HEADER: Final = "fits_header"
"""Attribute of variables: cards of 80 characters, without line ends."""
TABLES: Final = "wcs_tables"
"""Attribute beside it: tables that the header refers to."""
HEADERS: Final = "wcs_header"
"""Coordinate of stacks whose images point to different places: the cards that place the pixels of each."""
AXIS: Final = "wcs_axis"
"""Attribute of the coordinate of an axis: its number in the header. It finds axes that were renamed."""
_SELECTS: Final = "ds.sky.sel selects by position"
_REFERENCE: Final = f"reference point; {_SELECTS}"
_CENTRE: Final = f"centre of the pixel; {_SELECTS}"
_SNAP: Final = 60
"""Positions that were computed from world coordinates are rounded to this fraction of a pixel where they are that close to it."""

_PIXEL_BYTES: Final = 64
"""What positions along an axis take for each pixel, about: the numbers, their order and their distances."""

Floats = npt.NDArray[np.float64]


def sky_coordinates(
    header: str, shape: tuple[int, ...], tables: str, taken: Container[str], *, celestial: bool
) -> dict[str, xr.Variable]:
    """Make the coordinates of an image of the sky: pixel numbers, and the reference point or positions that are still to be computed.

    Parameters
    ----------
    header, shape, tables
        Of the image.
    taken
        Names that are given to something else: there are no coordinates then.
    celestial
        Longitude and latitude of every pixel, computed when they are read, instead of the reference point.
    """
    axes = axes_of(header, shape)
    if axes.sky is None or any(name in taken for name in axes.names):
        return {}
    found = _make_pixel_coordinates(axes, shape)
    if not celestial:
        return found | _reference_point(axes, (), axes.reference)
    from scichunk.adapters.xarray.computed import LazyCoordinate

    lon, lat = axes.sky
    sizes = dict(zip(axes.dims, shape, strict=True))
    for i, name in enumerate(axes.names):
        values = SkyCoordinate(header, axes, (sizes[lat], sizes[lon]), latitude=bool(i), tables=tables)
        lazy = LazilyIndexedArray(LazyCoordinate(values))
        found[name] = xr.Variable((lat, lon), lazy, {"units": "deg", "long_name": _CENTRE})
    return found


def with_skies(ds: xr.Dataset, dim: str, skies: Mapping[int, tuple[str, str]]) -> xr.Dataset:
    """Add the coordinates of images that point to different places: pixel numbers, and of each the reference point and the cards.

    Parameters
    ----------
    ds
        The stack, without coordinates of the sky.
    dim
        Its dimension of images.
    skies
        Header and tables of the images by position; others, which could not be read, have none.
    """
    header, _ = next(iter(skies.values()))
    shape = image_shape(header)
    axes = axes_of(header, shape)
    taken = {*axes.names, HEADERS} & set(ds.variables)
    if axes.sky is None or taken:
        return ds
    count = ds.sizes[dim]
    points = [axes_of(skies[i][0], shape).reference if i in skies else (np.nan, np.nan) for i in range(count)]
    lon, lat = np.array(points, np.float64).T
    made = _make_pixel_coordinates(axes, shape) | _reference_point(axes, (dim,), (lon, lat))
    for part, name in enumerate((HEADERS, TABLES)):
        texts = [skies[i][part] if i in skies else "" for i in range(count)]
        if any(texts):
            attrs = {"long_name": "cards that place the pixels" if name == HEADERS else "tables that they refer to"}
            made[name] = xr.Variable((dim,), np.array(texts, dtype=object), attrs)
    return ds.assign_coords(made)


def _make_pixel_coordinates(axes: Axes, shape: tuple[int, ...]) -> dict[str, xr.Variable]:
    """Make the coordinates along the dimensions of the sky."""
    from scichunk.adapters.xarray.computed import pixel_numbers

    sizes = dict(zip(axes.dims, shape, strict=True))
    found = {}
    for dim in axes.sky or ():
        attrs = {"long_name": "pixel, counted from 0", AXIS: len(shape) - axes.dims.index(dim)}
        found[dim] = xr.Variable((dim,), pixel_numbers(sizes[dim]), attrs)
    return found


def _reference_point(axes: Axes, dims: tuple[Hashable, ...], values: tuple[Any, Any]) -> dict[str, xr.Variable]:
    """Make the coordinates of the reference point: of one image, or of each of a stack."""
    attrs = {"units": "deg", "long_name": _REFERENCE}
    return {name: xr.Variable(dims, value, attrs) for name, value in zip(axes.names, values, strict=True)}


def is_position(coord: xr.DataArray) -> bool:
    """Whether a coordinate holds the reference point of an image, or the positions of all of its pixels: neither has an index."""
    return coord.attrs.get("long_name") == {0: _REFERENCE, 2: _CENTRE}.get(coord.ndim, "")


def with_own_header(obj: Any, dim: str) -> Any:
    """Give an image a dimension of images; see :meth:`scichunk.adapters.xarray.SkyAccessor.expand`."""
    if HEADERS in obj.coords:
        msg = f"it has a header for each image already, in the coordinate {HEADERS}"
        raise ValueError(msg)
    image = image_of(obj)
    made: dict[str, xr.Variable] = {}
    for name, text in ((HEADERS, image.header), (TABLES, image.tables)):
        if text:
            made[name] = xr.Variable((dim,), np.array([text], dtype=object))
    if image.axes.sky is not None:
        lon, lat = (np.array([value], np.float64) for value in image.axes.reference)
        made |= _reference_point(image.axes, (dim,), (lon, lat))
    found = obj.drop_vars([n for n in made if n in obj.coords]).expand_dims(dim).assign_coords(made)
    for variable in [found.variable] if isinstance(found, xr.DataArray) else found.variables.values():
        for name in (HEADER, TABLES):
            variable.attrs.pop(name, None)
    return found


@dataclass(frozen=True)
class SkyImage:
    """An image of the sky, or what is left of it, with the header that it came with."""

    obj: xr.DataArray | xr.Dataset
    array: xr.DataArray
    header: str
    tables: str

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole image."""
        return image_shape(self.header)

    @cached_property
    def axes(self) -> Axes:
        """The axes of the whole image."""
        return axes_of(self.header, self.shape)

    def name_of(self, number: int) -> Hashable:
        """Name that the dimension or the coordinate of an axis of the header has now."""
        own = self.axes.dims[len(self.shape) - number]
        coords = self.array.coords
        if own in coords and coords[own].attrs.get(AXIS, number) == number:
            return own
        return next((n for n, c in coords.items() if c.attrs.get(AXIS) == number and c.ndim <= 1), own)

    def pixels(self, number: int) -> Floats | None:
        """Positions along an axis of the header, counted from 0; None where they are unknown, and the axis is gone.

        Raises
        ------
        FormatError
            If the axis is there, but its coordinate does not say which pixels these are.
        """
        name, size = self.name_of(number), self.shape[len(self.shape) - number]
        # of a dimension without a coordinate get() would make one up
        coord = self.array.coords[name] if name in self.array.coords else None  # noqa: SIM401
        if coord is None or (coord.ndim and coord.dims != (name,) and coord.ndim > 1):
            if name not in self.array.dims:
                return np.zeros(1) if size == 1 else None
            if self.array.sizes[name] == size:
                return np.arange(size, dtype=np.float64)
            msg = f"it cannot be told which part of {name} this is: its coordinate is gone"
            raise FormatError(msg)
        check_decoded(f"the pixels along {name}", _PIXEL_BYTES * coord.size)
        dim = self.axes.dims[len(self.shape) - number]
        full = None if dim in (self.axes.sky or ()) else self._world_axes.get(dim)
        values = np.atleast_1d(coord.values)
        if (
            full is None and dim not in (self.axes.sky or ()) and AXIS not in coord.attrs
        ):  # the user's, of an axis without one
            if values.size == size:
                return np.arange(size, dtype=np.float64)
            msg = f"it cannot be told which part of {name} this is: its coordinate is not that of the file"
            raise FormatError(msg)
        if full is not None and full.shape == values.shape and _are_equal(full, values):
            return np.arange(size, dtype=np.float64)
        try:
            found = (
                _to_floats(values)
                if full is None
                else _find_positions(_to_floats(full, full[0]), _to_floats(values, full[0]))
            )
        except (TypeError, ValueError) as error:
            msg = f"the coordinate {name} is not that of the file any more: {error}"
            raise FormatError(msg) from error
        if not np.isfinite(found).all():
            msg = f"the coordinate {name} is not that of the file any more: it has values that no pixel has"
            raise FormatError(msg)
        return found

    @cached_property
    def _world_axes(self) -> dict[str, Any]:
        found = coordinates(self.header, self.shape, self.axes, self.tables)
        return {name: coordinate.values for name, coordinate in found.items()}


def _are_equal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether two coordinates are equal, times within a leap second (NaT) included."""
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fM")


def _to_floats(values: npt.NDArray[Any], first: Any = None) -> Floats:
    """Numbers of a coordinate; of times the nanoseconds since the first one, which a float holds exactly."""
    if values.dtype.kind == "M" and isinstance(first, np.datetime64):
        since = values.astype("M8[ns]") - first.astype("M8[ns]")
        return np.where(np.isnat(since), np.nan, since.astype(np.int64))
    if values.dtype.kind not in "iuf":
        msg = f"it has values of type {values.dtype}"
        raise TypeError(msg)
    return values.astype(np.float64)


def _find_positions(full: Floats, values: Floats) -> Floats:
    """Fractional positions of values among those of all pixels, which ascend or descend; NaN where there is none."""
    if len(full) == 1:
        return np.where(np.isclose(values, full[0], rtol=1e-12, atol=0), 0.0, np.nan)
    steps = np.diff(full)
    if not ((steps > 0).all() or (steps < 0).all()):  # only what is exactly there can be found
        order = np.argsort(full, kind="stable")
        at = order[np.searchsorted(full, values, sorter=order).clip(0, len(full) - 1)]
        return np.where(full[at] == values, at, np.nan)
    sign = 1 if steps[0] > 0 else -1
    cell = np.searchsorted(sign * full, sign * values, side="right").clip(1, len(full) - 1) - 1
    found = cell + (values - full[cell]) / steps[cell]
    near = np.round(found * _SNAP) / _SNAP
    # as close as the numbers allow it to be told
    blur = 1e-9 + 8 * np.finfo(float).eps * np.abs(values) / np.abs(steps[cell])
    found = np.where(np.abs(near - found) <= blur, near, found)
    return np.where((found >= -0.5) & (found <= len(full) - 0.5), found, np.nan)


def image_of(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> SkyImage:
    """Find the header of an image, and check that it is its own.

    Raises
    ------
    FormatError
        If there is none, or the images of a stack have several.
    TypeError
        If it is nothing of xarray.
    """
    if isinstance(obj, xr.DataTree):
        obj = obj.to_dataset()
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        msg = f"expected a DataArray, a Dataset or a node of a DataTree, got {type(obj).__name__}"
        raise TypeError(msg)
    arrays = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    several = obj.coords.get(HEADERS)
    found = next((a for a in arrays if HEADER in a.attrs), None)
    if several is not None and found is None:
        return _one_of(obj, arrays, several)
    if found is None:
        msg = (
            f"no FITS header in the attributes ({HEADER}); arithmetic drops them unless xr.set_options(keep_attrs=True)"
        )
        raise FormatError(msg)
    image = SkyImage(obj, found, str(found.attrs[HEADER]), str(found.attrs.get(TABLES, "")))
    _check_reference(image)
    return image


def _one_of(obj: Any, arrays: list[xr.DataArray], several: xr.DataArray) -> SkyImage:
    """The image of a stack that is left, if it is one."""
    if several.size != 1:
        msg = f"the images point to different places of the sky: pick one of {', '.join(map(str, several.dims))} with isel"
        raise FormatError(msg)
    header = str(several.values.reshape(-1)[0])
    if not header:
        msg = "the file of this image could not be read: nothing is known of its place on the sky"
        raise FormatError(msg)
    tables = obj.coords.get(TABLES)
    dims = set(axes_of(header, image_shape(header)).dims)
    array = next((a for a in arrays if dims & {*a.dims, *a.coords}), arrays[0])
    return SkyImage(obj, array, header, "" if tables is None else str(tables.values.reshape(-1)[0]))


def _check_reference(image: SkyImage) -> None:
    """Refuse a header that belongs to another of several images: putting images together keeps that of the first."""
    for name, value in zip(image.axes.names, image.axes.reference, strict=True):
        coord = image.array.coords.get(name)
        if image.axes.sky is None or coord is None or coord.attrs.get("long_name") != _REFERENCE:
            continue
        values = np.asarray(coord.values, np.float64)
        if not np.allclose(values, value, rtol=1e-12, atol=1e-12, equal_nan=True):
            msg = (
                f"the header is that of the image around {name} {value}, and not of all that is here: images that point to "
                "different places keep their headers in scichunk.open_stack, or in xr.concat and xr.open_mfdataset where each went "
                'through ds.sky.expand("name of the new dimension") before'
            )
            raise FormatError(msg)


def wcs(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> Any:  # astropy has no types
    """Return the astropy WCS of what is left of a FITS image.

    Parameters
    ----------
    obj
        A variable that the engine ``fits`` opened, a slice of it, or what coarsening or interpolation on an even grid made of
        it; or a dataset or a node of a tree with one.

    Returns
    -------
    astropy.wcs.WCS
        Its axes are those of ``obj`` that the header knows, in that order. Starts and steps, negative or fractional, are applied
        exactly, to SIP and lookup tables too. Where ``obj`` cuts across axes that belong together (one row of the sky), what
        astropy has for that: a WCS with fewer pixel axes than world axes.

    Raises
    ------
    FormatError
        If there is no FITS header, the pixels are not evenly spaced, or it cannot be told which part of an axis is left (its
        coordinate is gone).

    Examples
    --------
    >>> import scichunk, xarray as xr
    >>> ds = xr.open_dataset("exposure.fits", engine="fits", hdu="SCI")  # doctest: +SKIP
    >>> scichunk.wcs(ds.sci[100:200, ::2])  # doctest: +SKIP
    """
    image = image_of(obj)
    try:
        whole = find_wcs(image.header, image.tables)
        n = len(image.shape)
        names = {number: image.name_of(number) for number in range(1, n + 1)}
        left = [d for d in image.array.dims if d in names.values()]
        grids = []
        for number, name in names.items():
            pixels = image.pixels(number)
            place = left[::-1].index(name) if name in left else None
            grids.append(AxisGrid.from_positions(str(name), pixels, place))
        return sub_grid(whole, grids)
    except ScichunkError:
        raise
    except Exception as error:  # wcslib and astropy raise whatever they meet
        msg = f"astropy cannot make the world coordinates of it: {type(error).__name__}: {str(error).strip()}"
        raise FormatError(msg) from error
