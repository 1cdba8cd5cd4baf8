"""The sky in xarray: selecting by position, and the astropy WCS of any slice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.core.indexing import IndexSelResult, LazilyIndexedArray

from scichunk.errors import FormatError
from scichunk.sky.wcs import Axes, SkyCoordinate, axes_of, coordinates, find_wcs, image_shape, sky_pixels

__all__ = ["SkyIndex", "wcs", "with_sky"]


@dataclass(frozen=True, slots=True)
class Span:
    """Pixels ``start, start + step, ...`` of an axis."""

    start: int
    step: int
    size: int

    def take(self, part: slice) -> Span:
        """Return a slice of it."""
        first, _, step = part.indices(self.size)
        return Span(self.start + first * self.step, self.step * step, len(range(*part.indices(self.size))))

    @property
    def pixels(self) -> npt.NDArray[np.int64]:
        """Return the 0-based pixel numbers."""
        return self.start + self.step * np.arange(self.size, dtype=np.int64)

    def find(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the positions nearest to fractional pixel numbers; -1 outside."""
        with np.errstate(invalid="ignore"):
            at = np.rint((pixels - self.start) / self.step)
            inside = (at >= 0) & (at < self.size)
        return np.where(inside, at, -1).astype(np.int64)


class SkyIndex(xr.Index):
    """Finds pixels by position on the sky; holds a header and two slices, never an array of coordinates.

    It owns the pixel numbers along the two dimensions of the sky, and two scalar coordinates named after longitude and latitude
    (by default ``ra`` and ``dec``) that hold the reference point, so that ``ds.sel(ra=..., dec=..., method="nearest")`` works.

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    axes
        What the header says of the axes.
    spans
        Pixels along the dimensions of longitude and latitude.
    labels
        Names of the two dimensions and of longitude and latitude, if they were renamed.
    """

    def __init__(
        self, header: str, axes: Axes, spans: tuple[Span, Span], labels: tuple[Hashable, ...] | None = None
    ) -> None:
        if axes.sky is None:
            msg = "the image has no celestial axes"
            raise ValueError(msg)
        self.header, self.axes, self.spans = header, axes, spans
        self.labels = labels or (*axes.sky, *axes.names)

    @classmethod
    def of(cls, header: str, axes: Axes, shape: tuple[int, ...]) -> SkyIndex:
        """Index a whole image."""
        sizes = dict(zip(axes.dims, shape, strict=True))
        lon, lat = axes.sky or ("", "")
        return cls(header, axes, (Span(0, 1, sizes[lon]), Span(0, 1, sizes[lat])))

    def __repr__(self) -> str:
        lon, lat = self.axes.reference
        return f"SkyIndex({self.labels[2]}, {self.labels[3]} around {lon:.5f}, {lat:.5f})"

    def _repr_inline_(self, max_width: int) -> str:
        return repr(self)[:max_width]

    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> dict[Any, xr.Variable]:
        """Make the coordinate variables of the index."""
        found: dict[Any, xr.Variable] = {}
        for label, span in zip(self.labels[:2], self.spans, strict=True):
            found[label] = xr.Variable((label,), span.pixels, {"long_name": "pixel, counted from 0"})
        for label, value in zip(self.labels[2:], self.axes.reference, strict=True):
            attrs = {"units": "deg", "long_name": "reference point; select pixels with method='nearest'"}
            found[label] = xr.Variable((), value, attrs)
        for name, variable in (variables or {}).items():
            if name in found:
                found[name].attrs = dict(variable.attrs)
                found[name].encoding = dict(variable.encoding)
        return found

    def isel(self, indexers: Mapping[Any, Any]) -> Self | None:
        """Follow slices; anything else leaves the pixel numbers as plain coordinates."""
        spans = list(self.spans)
        for i, label in enumerate(self.labels[:2]):
            part = indexers.get(label, slice(None))
            if not isinstance(part, slice):
                return None
            spans[i] = spans[i].take(part)
        return type(self)(self.header, self.axes, (spans[0], spans[1]), self.labels)

    def sel(self, labels: dict[Any, Any], method: str | None = None, tolerance: Any = None) -> IndexSelResult:
        """Find pixels by longitude and latitude in degrees (or as astropy quantities), or by pixel number.

        Raises
        ------
        KeyError
            If a position is not in the image.
        ValueError
            Without ``method="nearest"``: positions fall between pixels.
        """
        x, y, lon, lat = self.labels
        if not set(labels) & {lon, lat}:
            return IndexSelResult({k: self._pixel(k, v) for k, v in labels.items()})
        if set(labels) != {lon, lat}:
            msg = f"a position needs both {lon} and {lat}, and nothing else of this index"
            raise ValueError(msg)
        if method != "nearest":
            msg = "positions fall between pixels: give method='nearest'"
            raise ValueError(msg)
        if tolerance is not None:
            msg = "tolerance is not supported for positions on the sky"
            raise ValueError(msg)
        dims, where = _degrees(labels[lon], labels[lat])
        pixels = sky_pixels(self.header, self.axes, *where)
        found = [span.find(p) for span, p in zip(self.spans, pixels, strict=True)]
        outside = (found[0] < 0) | (found[1] < 0)
        if outside.any():
            bad = np.unravel_index(int(np.argmax(outside)), outside.shape)
            msg = f"{lon} {where[0][bad]:.6f}, {lat} {where[1][bad]:.6f} is not in the image"
            raise KeyError(msg)
        if not dims:
            return IndexSelResult({x: int(found[0]), y: int(found[1])})
        return IndexSelResult({x: xr.Variable(dims, found[0]), y: xr.Variable(dims, found[1])})

    def _pixel(self, label: Hashable, value: Any) -> Any:
        """Positions of pixel numbers: a number, an array, or a slice of both ends."""
        span = self.spans[self.labels.index(label)]
        if isinstance(value, slice):
            numbers = span.pixels
            low = -np.inf if value.start is None else value.start
            high = np.inf if value.stop is None else value.stop
            inside = np.flatnonzero((numbers >= min(low, high)) & (numbers <= max(low, high)))
            return slice(int(inside[0]), int(inside[-1]) + 1, value.step) if inside.size else slice(0, 0)
        found = span.find(np.asarray(value, np.float64))
        if (found < 0).any():
            msg = f"{label} = {value} is not in the image"
            raise KeyError(msg)
        return int(found) if found.ndim == 0 else found

    def equals(self, other: xr.Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether two indexes say the same of the same pixels, dimensions in ``exclude`` aside."""
        if not isinstance(other, SkyIndex) or (self.labels, self.axes) != (other.labels, other.axes):
            return False
        pairs = zip(self.labels[:2], self.spans, other.spans, strict=True)
        if any(a != b for label, a, b in pairs if label not in (exclude or ())):
            return False
        return self.header == other.header or _sky_cards(self.header) == _sky_cards(other.header)

    @classmethod
    def concat(cls, indexes: Sequence[Any], dim: Hashable, positions: Iterable[Iterable[int]] | None = None) -> Self:
        """Put slices of one image together again; along other dimensions the index stays."""
        first: Self = indexes[0]
        if positions is not None or dim not in first.labels[:2]:
            return first
        at = first.labels.index(dim)
        span, spans = first.spans[at], list(first.spans)
        for index in indexes[1:]:
            more = index.spans[at]
            if more.start != span.start + span.step * span.size or more.step != span.step:
                msg = "only neighbouring slices of one image can be put together on the sky; drop the index first"
                raise ValueError(msg)
            span = replace(span, size=span.size + more.size)
        spans[at] = span
        return cls(first.header, first.axes, (spans[0], spans[1]), first.labels)

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> Self:
        """Follow new names."""
        names = {**name_dict, **dims_dict}
        return type(self)(self.header, self.axes, self.spans, tuple(names.get(n, n) for n in self.labels))


def _sky_cards(header: str) -> set[str]:
    """Cards that have to do with where pixels lie."""
    stems = ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CROTA", "CUNIT", "PC", "CD", "PV", "PS", "LONPOLE", "LATPOLE", "RADESYS", "EQUINOX",
             "A_", "B_", "AP_", "BP_")  # fmt: skip
    cards = (header[i : i + 80] for i in range(0, len(header), 80))
    return {c.partition("/")[0].rstrip() for c in cards if c.startswith(stems)}


def _degrees(
    lon: Any, lat: Any
) -> tuple[tuple[Hashable, ...], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Dimensions of the result, and broadcast values."""
    pair = []
    for value in (lon, lat):
        inner = getattr(value, "data", value) if isinstance(value, xr.DataArray | xr.Variable) else value
        to_value = getattr(inner, "to_value", None)  # of astropy's quantities
        degrees = to_value("deg") if to_value else inner
        dims = value.dims if isinstance(value, xr.DataArray | xr.Variable) else None
        array = np.asarray(degrees, np.float64)
        pair.append(xr.Variable(dims if dims is not None else ("points",) * array.ndim, array))
    together = xr.broadcast(xr.DataArray(pair[0]), xr.DataArray(pair[1]))
    return together[0].dims, (together[0].values, together[1].values)


def with_sky(ds: xr.Dataset, header: str, shape: tuple[int, ...], *, celestial: bool) -> xr.Dataset:
    """Add an index of the sky to a dataset; or longitude and latitude of every pixel, still to be computed."""
    axes = axes_of(header, shape)
    if axes.sky is None or set(axes.names) & set(ds.variables):
        return ds
    index = SkyIndex.of(header, axes, shape)
    if not celestial:
        return ds.assign_coords(xr.Coordinates(index.create_variables(), indexes=dict.fromkeys(index.labels, index)))
    from scichunk.adapters.xarray.lazy import LazyCoordinate

    lon, lat = axes.sky
    size = (index.spans[1].size, index.spans[0].size)
    for i, name in enumerate(axes.names):
        lazy = LazilyIndexedArray(LazyCoordinate(SkyCoordinate(header, axes, size, latitude=bool(i))))
        ds = ds.assign_coords({name: xr.Variable((lat, lon), lazy, {"units": "deg"})})
    pixels = index.create_variables()
    return ds.assign_coords({label: pixels[label] for label in axes.sky})


def wcs(obj: xr.DataArray | xr.Dataset) -> Any:  # astropy has no types
    """Return the astropy WCS of what is left of a FITS image after slicing.

    Parameters
    ----------
    obj
        A variable that the engine ``fits`` opened, or a slice of it; or a dataset with one.

    Returns
    -------
    astropy.wcs.WCS
        For the dimensions of the image that are left; steps and offsets of slices are applied. An axis that an integer picked
        stays as an axis of one pixel.

    Raises
    ------
    FormatError
        If there is no FITS header, or the slice of an axis cannot be told (its coordinate is gone).
    """
    array = _with_header(obj)
    header = str(array.attrs["fits_header"])
    shape = image_shape(header)
    axes = axes_of(header, shape)
    whole = find_wcs(header).deepcopy()
    view = tuple(_slice(array, dim, size, header, axes) for dim, size in zip(axes.dims, shape, strict=True))
    extra = whole.naxis - len(view)
    sliced = whole.slice((slice(None),) * max(0, extra) + view) if any(v != slice(None) for v in view) else whole
    sliced.array_shape = tuple(
        len(range(*v.indices(n)))
        for v, n in zip((slice(None),) * max(0, extra) + view, (1,) * max(0, extra) + shape, strict=True)
    )[-whole.naxis :]
    return sliced


def _with_header(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        msg = f"expected a DataArray or a Dataset, got {type(obj).__name__}"
        raise TypeError(msg)
    arrays = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    found = next((a for a in arrays if "fits_header" in a.attrs), None)
    if found is None:
        msg = "no FITS header in the attributes (fits_header); arithmetic drops them unless xr.set_options(keep_attrs=True)"
        raise FormatError(msg)
    return found


def _slice(array: xr.DataArray, dim: str, size: int, header: str, axes: Axes) -> slice:
    """Which pixels of an axis are left."""
    if dim in array.dims and array.sizes[dim] == size and dim not in array.coords:
        return slice(None)
    if dim not in array.coords:
        msg = f"it cannot be told which part of {dim} this is: its coordinate is gone"
        raise FormatError(msg)
    values = np.atleast_1d(array.coords[dim].values)
    if axes.sky and dim in axes.sky:
        pixels = values.astype(np.int64)
    else:
        full = coordinates(header, image_shape(header), axes)[dim].values
        order = np.argsort(full)
        pixels = order[np.searchsorted(full, values, sorter=order).clip(0, len(full) - 1)]
        if not np.array_equal(full[pixels], values):
            msg = f"the coordinate {dim} is not that of the file any more"
            raise FormatError(msg)
    step = int(pixels[1] - pixels[0]) if len(pixels) > 1 else 1
    if step <= 0 or (np.diff(pixels) != step).any():
        msg = f"{dim} is not a slice with a positive step, which is all that a WCS can express"
        raise FormatError(msg)
    if len(pixels) == size:
        return slice(None)
    return slice(int(pixels[0]), int(pixels[-1]) + 1, step)
