"""Pixels without data as NaN: what a mask of the image or an alpha band says, as GDAL lets it count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.arrays import ArraySource
from scichunk.core.grid import ChunkGrid
from scichunk.core.selection import Axis, Positions, Span
from scichunk.raster.cf import Decoding

__all__ = ["BandMasksArray", "MaskedArray", "NodataValuesArray", "PlaneArray"]

Array = npt.NDArray[Any]


class MaskedArray:
    """Decoded pixels of (band, y, x) that are NaN where a mask is 0.

    GDAL gives a mask of the image precedence over nodata, and asks an alpha band only where a band has neither
    (``GDALRasterBand::GetMaskBand``).

    Parameters
    ----------
    pixels
        Stored values.
    decoding
        From stored to physical values; of a type that has NaN.
    mask
        An array of (y, x), or of (band, y, x), that is 0 where there is no data; None without one.
    alpha
        Position of the alpha band, which says where the other bands have data; None without one. Without both, values are decoded.
    """

    def __init__(
        self, pixels: ArraySource, decoding: Decoding, mask: ArraySource | None, alpha: int | None = None
    ) -> None:
        self._pixels, self._decoding, self._mask, self._alpha = pixels, decoding, mask, alpha
        self.shape, self.grid, self.reader = pixels.shape, pixels.grid, pixels.reader
        self.dtype = np.dtype(decoding.dtype)

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region."""
        stored, mask = self._pixels.read(axes), None
        if self._mask is not None:
            mask = self._mask.read(self._mask_axes(axes))
        elif self._alpha is not None:
            at = self._alpha_among(axes[0])
            mask = stored[at] if at is not None else self._pixels.read(self._alpha_axes(axes))[0]
        return self._decode_values(stored, axes[0], mask, out)

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Asynchronous twin of :meth:`read`: pixels and mask are fetched side by side."""
        mask: Array | None = None
        if self._mask is not None:
            stored, mask = await asyncio.gather(
                self._pixels.read_async(axes), self._mask.read_async(self._mask_axes(axes))
            )
        else:
            stored = await self._pixels.read_async(axes)
        if self._alpha is not None:
            at = self._alpha_among(axes[0])
            mask = stored[at] if at is not None else (await self._pixels.read_async(self._alpha_axes(axes)))[0]
        return await asyncio.to_thread(self._decode_values, stored, axes[0], mask, None)

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes."""
        stored = self._pixels.read_points(points, spans)
        count = len(next(iter(points.values())))
        known = self._mask is not None or self._alpha is not None
        mask = self._mask_of_points(points, spans, count) if known else None
        if 0 in points:
            bands = np.asarray(points[0])
            values = self._decoding.apply(stored, bands)
            if mask is not None:
                empty = mask == 0
                if self._alpha is not None:
                    empty = empty & (bands != self._alpha).reshape(-1, *(1,) * (empty.ndim - 1))
                values[np.broadcast_to(empty, values.shape)] = self._not_a_number
            return values
        bands = _axis_positions(spans[0])
        values = self._decoding.apply(np.moveaxis(stored, 1, 0), bands)
        self._erase_masked(values, bands, np.moveaxis(mask, 1, 0) if mask is not None and self._is_of_bands else mask)
        return np.moveaxis(values, 0, 1)

    def _mask_of_points(self, points: dict[int, Positions], spans: dict[int, Axis], count: int) -> Array:
        """Values of the mask, with an axis of points first (of length 1 where the points lie on the axis of bands alone)."""
        inner = {a: p for a, p in points.items() if a}
        if self._mask is not None and self._is_of_bands:
            return self._mask.read_points(points, spans)
        if self._mask is not None:
            lower_points, lower_spans = {a - 1: p for a, p in inner.items()}, {a - 1: s for a, s in spans.items() if a}
            if not inner:
                return self._mask.read([lower_spans[0], lower_spans[1]])[None]
            return self._mask.read_points(lower_points, lower_spans)
        alpha = int(self._alpha or 0)
        if not inner:
            return self._pixels.read([Span(alpha, alpha + 1), spans[1], spans[2]])
        every = {**inner, 0: np.full(count, alpha, np.intp)}
        return self._pixels.read_points(every, {a: s for a, s in spans.items() if a})

    def _alpha_among(self, bands: Axis) -> int | None:
        """Find where the alpha band is among those that are read anyway."""
        found = np.flatnonzero(_axis_positions(bands) == self._alpha)
        return int(found[0]) if found.size else None

    def _alpha_axes(self, axes: Sequence[Axis]) -> list[Axis]:
        alpha = int(self._alpha or 0)
        return [Span(alpha, alpha + 1), *axes[1:]]

    def _decode_values(self, stored: Array, bands: Axis, mask: Array | None, out: Array | None) -> Array:
        numbers = _axis_positions(bands)
        values = self._decoding.apply(stored, numbers)
        self._erase_masked(values, numbers, mask)
        if out is None:
            return values
        out[...] = values
        return out

    def _erase_masked(self, values: Array, bands: Positions, mask: Array | None) -> None:
        """Put NaN where the mask is 0; the alpha band itself stays."""
        if mask is None:
            return
        empty = mask == 0
        if not empty.any():
            return
        for i, band in enumerate(bands):
            if band != self._alpha:
                np.copyto(values[i], self._not_a_number, where=empty[i] if self._is_of_bands else empty)

    def _mask_axes(self, axes: Sequence[Axis]) -> Sequence[Axis]:
        return axes if self._is_of_bands else axes[1:]

    @property
    def _is_of_bands(self) -> bool:
        """Whether each band has a mask of its own."""
        return self._mask is not None and len(self._mask.shape) == 3

    @property
    def _not_a_number(self) -> Any:
        return complex(np.nan, np.nan) if self.dtype.kind == "c" else np.nan


class PlaneArray:
    """The first plane of an array of (band, y, x), as an array of (y, x)."""

    def __init__(self, source: ArraySource) -> None:
        self._source = source
        self.shape, self.dtype, self.reader = source.shape[1:], source.dtype, source.reader
        self.grid = ChunkGrid(self.shape, source.grid.edges[1:])

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region."""
        found: Array = self._source.read([Span(0, 1), *axes])[0]
        if out is None:
            return found
        out[...] = found
        return out

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes."""
        below = {a + 1: s for a, s in spans.items()} | {0: Span(0, 1)}
        found: Array = self._source.read_points({a + 1: p for a, p in points.items()}, below)[:, 0]
        return found

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Asynchronous twin of :meth:`read`."""
        found: Array = (await self._source.read_async([Span(0, 1), *axes]))[0]
        return found


class BandMasksArray:
    """Masks of (band, y, x): for each band a plane of an array of (plane, y, x), and 255 for bands that have none.

    Parameters
    ----------
    source
        The planes.
    planes
        For each band the number of its plane, or None.
    """

    def __init__(self, source: ArraySource, planes: Sequence[int | None]) -> None:
        self._source = source
        self._numbers = np.array([-1 if p is None else p for p in planes], np.intp)
        self.covered = tuple(p is not None for p in planes)
        """Whether a band has a plane."""
        self.shape = (len(planes), *source.shape[1:])
        self.dtype, self.reader = source.dtype, source.reader
        self.grid = ChunkGrid(self.shape, (len(planes), *source.grid.edges[1:]))

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region."""
        needed, places, covered = self._needed_planes(axes[0])
        found = _fill_uncovered(self._source.read([needed, *axes[1:]])[places], covered)
        if out is None:
            return found
        out[...] = found
        return out

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes."""
        if 0 in points:
            numbers = self._numbers[points[0]]
            found = self._source.read_points({**points, 0: np.maximum(numbers, 0)}, spans)
            return _fill_uncovered(found, numbers >= 0)
        needed, places, covered = self._needed_planes(spans[0])
        found = np.moveaxis(self._source.read_points(points, {**spans, 0: needed}), 1, 0)[places]
        return np.moveaxis(_fill_uncovered(found, covered), 0, 1)

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Asynchronous twin of :meth:`read`."""
        needed, places, covered = self._needed_planes(axes[0])
        return _fill_uncovered((await self._source.read_async([needed, *axes[1:]]))[places], covered)

    def _needed_planes(self, bands: Axis) -> tuple[Positions, Positions, npt.NDArray[np.bool_]]:
        """Planes to read, which of them each band has, and whether it has one."""
        numbers = self._numbers[_axis_positions(bands)]
        needed, places = np.unique(np.maximum(numbers, 0), return_inverse=True)
        return needed, places, numbers >= 0


def _fill_uncovered(found: Array, covered: npt.NDArray[np.bool_]) -> Array:
    found[~covered] = 255
    return found


class NodataValuesArray:
    """A mask of (y, x) that is 0 where all bands have their value of GDAL's metadata item NODATA_VALUES.

    Parameters
    ----------
    pixels
        Stored values of (band, y, x).
    values
        One for each band.
    """

    def __init__(self, pixels: ArraySource, values: Sequence[float]) -> None:
        self._pixels, self._values = pixels, _compared_values(values, pixels.dtype)
        self.shape, self.dtype, self.reader = pixels.shape[1:], np.dtype("u1"), pixels.reader
        self.grid = ChunkGrid(self.shape, pixels.grid.edges[1:])

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region."""
        found = self._make_mask(self._pixels.read([self._bands, *axes]), 0)
        if out is None:
            return found
        out[...] = found
        return out

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes."""
        below = {a + 1: s for a, s in spans.items()} | {0: self._bands}
        return self._make_mask(self._pixels.read_points({a + 1: p for a, p in points.items()}, below), 1)

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Asynchronous twin of :meth:`read`."""
        return self._make_mask(await self._pixels.read_async([self._bands, *axes]), 0)

    @property
    def _bands(self) -> Axis:
        return Span(0, len(self._values))

    def _make_mask(self, stored: Array, axis: int) -> Array:
        shape = [1] * stored.ndim
        shape[axis] = -1
        empty = (np.real(stored) == self._values.reshape(shape)).all(axis=axis)
        return np.where(empty, np.uint8(0), np.uint8(255))


_COMPARED_AS: Final = {
    "u1": "u1", "u2": "u4", "u4": "u4", "i1": "i4", "i2": "i4", "i4": "i4", "f2": "f4", "f4": "f4", "c8": "f4"
}  # fmt: skip
"""Types in which GDAL compares pixels with NODATA_VALUES (``GDALNoDataValuesMaskBand``); double precision for all others."""


def _compared_values(values: Sequence[float], dtype: np.dtype[Any]) -> Array:
    """Values of NODATA_VALUES as GDAL compares them with pixels of some type: cast to it, or to a wider one, as C does on x86.

    What is beyond an unsigned type is taken modulo its width, so that -1 is the largest number.
    """
    kind = np.dtype(_COMPARED_AS.get(dtype.str[1:], "f8"))
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(values, "f8").astype(kind)
    bits = 8 * kind.itemsize
    most = 1 << (63 if kind == np.uint32 else 31)  # the processor casts to a signed integer of 64 or 32 bits first
    outside = -most if kind.kind == "i" else 0
    whole = [int(v) if -most <= v < most else outside for v in values]
    return np.array([n % (1 << bits) if kind.kind == "u" else n for n in whole], kind)


def _axis_positions(axis: Axis) -> Positions:
    return axis.positions() if isinstance(axis, Span) else np.asarray(axis)
