"""The thin reader that dask and xarray hold: it pickles to a few hundred bytes and reads what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk import counters, options
from scichunk.core.arrays import ArraySource
from scichunk.core.files import ArrayId, OpenFile
from scichunk.core.grid import ChunkGrid
from scichunk.core.handles import Handle
from scichunk.core.selection import Axis, Positions, Region, Span, parse_key, where_true
from scichunk.errors import guarded
from scichunk.lru import generation
from scichunk.raster.cf import Decoding
from scichunk.sources import Fingerprint, Location

__all__ = ["LazyArray", "axis_positions", "pick_bands"]

Array = npt.NDArray[Any]


class LazyArray:
    """An array of a file, indexed like a NumPy array (index arrays apply axis by axis).

    Parameters
    ----------
    handle
        Which array of which file.
    bands
        Positions along the first axis to keep, in order; None for all.
    decoding
        Applied to what was read; None for raw values.
    limits
        The options that hold while it reads; None for those in force now.
    """

    __slots__ = ("_generation", "_source", "bands", "decoding", "handle", "limits")

    def __init__(
        self,
        handle: Handle,
        bands: tuple[int, ...] | None = None,
        decoding: Decoding | None = None,
        limits: options.Snapshot | None = None,
    ) -> None:
        self.handle, self.bands, self.decoding = handle, bands, decoding
        self.limits = options.take_snapshot() if limits is None else limits
        self._source: ArraySource | None = None
        self._generation = generation()

    @property
    def source(self) -> ArraySource:
        """The array in this process; opens the file on first use."""
        if self._source is None or self._generation != generation():  # after a fork, what the parent opened is not used
            with options.frozen(self.limits):
                self._source, self._generation = self.handle.resolve(), generation()
        return self._source

    def open_file(self) -> OpenFile:
        """Return the file, as it was opened for this array."""
        with options.frozen(self.limits):
            return self.handle.open()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        shape = self.source.shape
        return shape if self.bands is None else (len(self.bands), *shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values that are handed out."""
        return np.dtype(self.decoding.dtype) if self.decoding else self.source.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the native chunks."""
        chunks = self.source.grid.chunk_shape
        return chunks if self.bands is None else (min(chunks[0], len(self.bands)), *chunks[1:])

    @property
    def grid(self) -> ChunkGrid:
        """Native chunks, of the bands that are kept."""
        grid = self.source.grid
        if self.bands is None:
            return grid
        edge = grid.edges[0]
        most = max(1, min(edge, len(self.bands))) if isinstance(edge, int) else 1
        return ChunkGrid(self.shape, (most, *grid.edges[1:]))

    @property
    def _url(self) -> str:
        return self.handle.location.url

    @property
    def is_remote(self) -> bool:
        """Whether the file lies elsewhere than on this machine."""
        return self.handle.location.local_path is None

    def __repr__(self) -> str:
        return f"<scichunk.LazyArray {self.handle.location.url} {self.handle.array_id} {self.shape} {self.dtype}, {self.source.reader}>"

    def __getitem__(self, key: Any) -> Array:
        region = self._parse_region(key)
        with options.frozen(self.limits), counters.reading(self.handle.format, self._url), guarded(self._url):
            return self._finish_values(self.source.read(region.axes), region)

    def read_into(self, out: Array, key: Any = ...) -> None:
        """Read what indexing gives into an array of its shape and type.

        Raises
        ------
        ValueError
            If it has another shape or type.
        """
        region = self._parse_region(key)
        kept = [n for n, after in zip(region.shape, region.finish, strict=True) if isinstance(after, slice)]
        if out.shape != tuple(kept) or out.dtype != self.dtype:
            msg = f"out must be an array of shape {tuple(kept)} and type {self.dtype}, got {out.shape} and {out.dtype}"
            raise ValueError(msg)
        turned = any(isinstance(after, slice) and after != slice(None) for after in region.finish)
        if self.decoding or turned or not (out.flags.c_contiguous and out.flags.writeable and out.dtype.isnative):
            out[...] = self[key]
            return
        with options.frozen(self.limits), counters.reading(self.handle.format, self._url), guarded(self._url):
            self.source.read(region.axes, out.reshape(region.shape))
            counters.add("decoded", out.nbytes)

    async def aget(self, key: Any) -> Array:
        """Asynchronous twin of indexing."""
        region = self._parse_region(key)
        with options.frozen(self.limits), counters.reading(self.handle.format, self._url), guarded(self._url):
            return self._finish_values(await self.source.read_async(region.axes), region)

    def points(self, keys: Sequence[Any]) -> Array:
        """Read pointwise: arrays among the keys are broadcast against each other, as in NumPy's vectorised indexing.

        Returns
        -------
        ndarray
            The axes of the arrays first, then those of the slices, as in xarray's vectorised indexers.
        """
        arrays = {a: np.asarray(k) for a, k in enumerate(keys) if not isinstance(k, slice)}
        if not arrays:
            msg = "points are named by index arrays: at least one of the keys must be an integer or an array"
            raise IndexError(msg)
        region = parse_key(tuple(slice(None) if a in arrays else k for a, k in enumerate(keys)), self.shape)
        together = np.broadcast_arrays(*(where_true(v, self.shape[a]) for a, v in arrays.items()))
        points: dict[int, Positions] = {}
        for axis, values in zip(arrays, together, strict=True):
            parsed = parse_key(np.ascontiguousarray(values).reshape(-1), (self.shape[axis],)).axes[0]
            points[axis] = np.asarray(parsed, np.intp)
        spans = {a: region.axes[a] for a in range(self.ndim) if a not in arrays}
        if self.bands is not None:
            table = np.asarray(self.bands, np.intp)
            if 0 in points:
                points[0] = table[points[0]]
            else:
                spans[0] = table[axis_positions(spans[0])]
        with options.frozen(self.limits), counters.reading(self.handle.format, self._url), guarded(self._url):
            found = self.source.read_points(points, spans)
        if self.decoding:
            found = self._decode_points(found, points, spans)
        turned = found[(slice(None), *(region.finish[a] for a in sorted(spans)))]
        return turned.reshape(together[0].shape + turned.shape[1:])

    def _decode_points(self, found: Array, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        decoding = self.decoding
        assert decoding is not None  # noqa: S101  # the only caller asks
        if 0 in points:
            return decoding.apply(found, points[0])
        return np.moveaxis(decoding.apply(np.moveaxis(found, 1, 0), axis_positions(spans[0])), 0, 1)

    def _parse_region(self, key: Any) -> Region:
        region = parse_key(key, self.shape)
        if self.bands is None:
            return region
        return Region((pick_bands(region.axes[0], self.bands), *region.axes[1:]), region.finish)

    def _finish_values(self, values: Array, region: Region) -> Array:
        counters.add("decoded", values.nbytes)
        if self.decoding:
            bands = axis_positions(region.axes[0]) if len(self.decoding.steps) > 1 else None
            with counters.timed("place_seconds"):
                values = self.decoding.apply(values, bands)
        return values if region.plain else values[(*region.finish, ...)]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        h, mark = self.handle, self.handle.fingerprint
        token = ("scichunk", h.format, h.location.key, mark.size, mark.tag, h.array_id, self.bands, self.decoding)
        return (*token, self.limits) if self.limits else token  # one task serves all arrays of a name

    def __reduce__(self) -> tuple[Any, ...]:
        h = self.handle
        mark = (h.fingerprint.size, h.fingerprint.tag)
        # Plain values instead of the objects: names of classes take room in a pickle, which must stay below 500 bytes.
        steps = None
        if self.decoding:
            steps = (self.decoding.dtype, tuple((s.dtype, s.fill, s.scale, s.offset) for s in self.decoding.steps))
        return _rebuild_array, (h.format, h.location, mark, h.array_id, (self.bands, steps, self.limits))


def _rebuild_array(
    format_name: str, location: Location, mark: tuple[int, str], array_id: ArrayId, how: Any
) -> LazyArray:
    from scichunk.raster.cf import Step

    bands, steps, limits = how
    decoding = Decoding(steps[0], tuple(Step(*s) for s in steps[1])) if steps else None
    return LazyArray(Handle(format_name, location, Fingerprint(*mark), array_id), bands, decoding, limits)


def pick_bands(axis: Axis, bands: Sequence[int]) -> Axis:
    """Turn a selection among bands that are kept into one among those of the file."""
    # Bands that lie side by side are a span, which reads without picking positions from a window.
    picked = [bands[i] for i in axis_positions(axis)]
    steps = set(np.diff(picked).tolist())
    if picked and (steps == {1} or len(picked) == 1):
        return Span(picked[0], picked[-1] + 1)
    return np.asarray(picked, np.intp)


def axis_positions(axis: Axis) -> Positions:
    """Return the positions of a selection."""
    return axis.positions() if isinstance(axis, Span) else axis
