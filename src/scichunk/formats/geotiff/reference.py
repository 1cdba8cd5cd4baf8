"""Windows through rasterio, the reference library: handles lent from a pool, GDAL's block cache bounded.

The driver is GTiff: what LIBERTIFF reads faster, the own decoders read; what is left here is what LIBERTIFF refuses or gets
wrong (NBITS 12, CCITT, CMYK JPEG, pages).
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.arrays import ArraySource, ReferenceArray
from scichunk.core.grid import ChunkGrid
from scichunk.errors import FormatError, LimitExceeded, ScichunkError
from scichunk.formats.geotiff.isolated import ISOLATED, environment, read_isolated
from scichunk.formats.geotiff.manifest import undivided_bytes
from scichunk.formats.geotiff.structure import TIFFImage
from scichunk.raster.gdal import RasterMetadata
from scichunk.sources.base import ByteSource
from scichunk.sources.pool import HandlePool
from scichunk.sources.spill import LocalCopy

__all__ = [
    "OpenedImages",
    "RasterioArray",
    "RasterioWindows",
    "dataset_dtype",
    "open_reference",
    "open_windows",
    "with_colours",
]

Array = npt.NDArray[Any]
_MOST_BLOCKS: Final = 1 << 16
"""Blocks that are looked at to see whether they are there."""
_BANDS_AT_ONCE: Final = 256
"""Of a block that cannot be decoded GDAL tries each band of a call anew, a millisecond each; so calls are bounded."""
_MOST_BAND_PAIRS: Final = 1 << 27
"""Bands that are read times bands that there are, where a block holds all of them: GDAL goes through all for each, 47 ns a pair."""
_MOST_STEPS: Final = 1 << 25
"""Directories that GDAL may go through, image by image, for what they are: 1.4 microseconds each."""
_Facts = tuple[np.dtype[Any], ChunkGrid, tuple[str, ...]]
_handles: Final = HandlePool(lambda dataset: dataset.close())


def dataset_dtype(names: tuple[str, ...]) -> np.dtype[Any]:
    """Type that holds all bands of a dataset, as rasterio names them (``complex_int16`` reads as complex64)."""
    kinds = [
        np.dtype("c8") if n == "complex_int16" else np.dtype("c16") if n == "complex_int32" else np.dtype(n)
        for n in names
    ]
    return np.dtype(np.result_type(*kinds))


class RasterioWindows:
    """Reads windows of one directory of a TIFF file.

    Parameters
    ----------
    source
        The file; copied to a temporary file unless it is local.
    offset
        Where the directory lies; None for the first one.
    why
        Why it is read by rasterio.
    least
        Bytes that are decoded at once at least. GDAL says that strips have one row each where it reads an image of one strip, which
        codecs of whole images decode as a whole nevertheless.
    apart
        Whether GDAL decodes in another process, see :mod:`scichunk.formats.geotiff.isolated`.
    times
        What values are multiplied by: of a mask of single bits GDAL gives 0 and 1 where its directory is opened by itself.
    """

    def __init__(
        self, source: ByteSource, offset: int | None, why: str, *, least: int = 0, apart: bool = False, times: int = 1
    ) -> None:
        self.url, self.why = source.url, why
        self._offset, self._least, self._apart, self._times = offset, least, apart, times
        self._copy = LocalCopy(source, ".tif", f"the reference reader (rasterio) is needed for {why}")
        self._owner = object()
        weakref.finalize(self, _handles.leave, self._owner)

    @contextlib.contextmanager
    def lend_dataset(self) -> Iterator[Any]:  # rasterio has no types
        """Lend a dataset to this thread for the time of a block.

        Raises
        ------
        FormatError
            If rasterio cannot open it.
        SourceError
            If the file has changed, before the block or by its end.
        """
        with self._copy.unchanged(), _handles.lend(self._owner, self._open_dataset) as dataset:
            yield dataset

    def close(self) -> None:
        """Close the idle datasets, and give up the copy of the file if there is one."""
        _handles.discard(self._owner)
        self._copy.close()

    @contextlib.contextmanager
    def _named(self) -> Iterator[str]:
        """Lend what GDAL is to open."""
        with self._copy.path() as path:
            yield path if self._offset is None else f"GTIFF_DIR:off:{self._offset}:{path}"

    def _open_dataset(self) -> Any:
        import rasterio

        with self._named() as name:
            try:
                with rasterio.Env(GDAL_CACHEMAX=options.get().gdal_cache_bytes, **environment(name)):
                    return rasterio.open(name, driver="GTiff")
            except Exception as error:  # rasterio raises what GDAL's plug-ins raise
                msg = f"rasterio cannot open it: {error}"
                raise FormatError(msg, url=self.url, tried="reference (rasterio)") from error

    def _fits_limits(self, dataset: Any, window: tuple[slice, ...]) -> bool:
        """Compare a block, which GDAL decodes whole, and the window with the limit before GDAL allocates either.

        Whether GDAL may read the window: if not, none of its blocks is in the file, and each is beyond the limit.
        """
        of_kind = {kind: dataset_dtype((kind,)).itemsize for kind in set(dataset.dtypes)}
        sizes = [of_kind[kind] for kind in dataset.dtypes]
        together = dataset.profile.get("interleave") == "pixel"
        edges = max(dataset.block_shapes, key=math.prod)
        size, limit = math.prod(s.stop - s.start for s in window) * max(sizes), options.get().max_chunk_bytes
        # GDAL decodes blocks of interleaved bands for all bands at once.
        block = math.prod(edges) * (sum(sizes) if together else max(sizes))
        block = max(block, self._least)
        fits = bool(block <= limit)
        # GDAL makes no block for what is not there, and fills the window.
        if size <= limit and not fits and not _all_absent(dataset, window, edges):
            size = block
        if size > limit:
            msg = (
                f"GDAL would have to decode {size} bytes at once, beyond the limit of {limit} (options.max_chunk_bytes)"
            )
            raise LimitExceeded(msg, url=self.url, tried="reference (rasterio)")
        return fits

    def _check_bands(self, dataset: Any, wanted: int) -> None:
        """Refuse what takes GDAL minutes: it goes through all bands of an interleaved image for each that is read."""
        pairs = wanted * dataset.count
        if pairs > _MOST_BAND_PAIRS and dataset.profile.get("interleave") == "pixel":
            msg = (
                f"GDAL would have to go through {dataset.count} bands for each of {wanted}, {pairs} in all, more than "
                f"{_MOST_BAND_PAIRS}; pick some by bands="
            )
            raise LimitExceeded(msg, url=self.url, tried="reference (rasterio)")

    def __call__(self, window: tuple[slice, ...]) -> Array:
        """Read a window of (band, y, x)."""
        import rasterio
        from rasterio.windows import Window

        rows, columns = window[-2:]
        area = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        try:
            with self.lend_dataset() as dataset, rasterio.Env(GDAL_CACHEMAX=options.get().gdal_cache_bytes):
                if not self._fits_limits(dataset, window):
                    return _fill_window(dataset, window)
                bands = list(range(window[0].start + 1, window[0].stop + 1))
                several = len(set(dataset.dtypes)) > 1
                kind = dataset_dtype(dataset.dtypes) if several else None
                groups = [bands[i : i + _BANDS_AT_ONCE] for i in range(0, len(bands), _BANDS_AT_ONCE)]
                parts: list[Array] = []
                for group in groups:
                    parts.append(self._read_bands(dataset, group, area, kind))
                    self._check_bands(
                        dataset, len(bands)
                    )  # behind the first, which shows whether the block can be read
                found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        except ScichunkError:
            raise
        except Exception as error:  # rasterio raises what GDAL's plug-ins raise
            where = f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
            msg = f"rasterio cannot read {where}: {_first_cause(error)}"
            raise FormatError(msg, url=self.url, tried="reference (rasterio)") from error
        return found if self._times == 1 else found * found.dtype.type(self._times)

    def _read_bands(self, dataset: Any, bands: list[int], area: Any, kind: np.dtype[Any] | None) -> Array:
        if not self._apart:
            found: Array = dataset.read(bands, window=area, out_dtype=kind)
            return found
        with self._named() as name:
            place = (area.col_off, area.row_off, area.width, area.height)
            return read_isolated(name, bands, place, None if kind is None else kind.str)


def _fill_window(dataset: Any, window: tuple[slice, ...]) -> Array:
    """A window of blocks that are not in the file, as GDAL fills them: with the nodata value of the band, else with 0."""
    kind = dataset_dtype(dataset.dtypes)
    found = np.zeros(tuple(s.stop - s.start for s in window), kind)
    for band, nodata in zip(found, dataset.nodatavals[window[0]], strict=True):
        if nodata is None or (kind.kind in "iu" and math.isnan(nodata)):
            continue
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            # As GDAL rounds and clamps nodata to the type of the band.
            band[...] = int(min(max(math.floor(nodata + 0.5), limits.min), limits.max))
        else:
            band[...] = nodata
    return found


def _all_absent(dataset: Any, window: tuple[slice, ...], edges: tuple[int, int]) -> bool:
    """Whether the file holds none of the blocks of a window, so that GDAL fills them without decoding."""
    bands, *extents = window
    numbers = [range(s.start // n, -(-s.stop // n)) for s, n in zip(extents, edges, strict=True)]
    if len(numbers[0]) * len(numbers[1]) * (bands.stop - bands.start) > _MOST_BLOCKS:
        return False
    return all(
        dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band + 1) is None
        for row in numbers[0]
        for column in numbers[1]
        for band in range(bands.start, bands.stop)
    )


def open_windows(source: ByteSource, image: TIFFImage, offset: int | None, why: str) -> RasterioWindows:
    """Read windows of an image as its codec wants it; parameters as in :class:`RasterioWindows`."""
    times = 255 if image.is_mask and image.bits == (1,) else 1
    least, apart = undivided_bytes(image), image.compression in ISOLATED
    return RasterioWindows(source, offset, why, least=least, apart=apart, times=times)


class RasterioArray(ReferenceArray):
    """An array read through rasterio, which may make other colours of an image than are stored."""

    colorinterp: tuple[str, ...] = ()


class OpenedImages:
    """What GDAL has said of the images of a file: of very many alike it is asked once, as it goes through all directories for each."""

    def __init__(self) -> None:
        self._facts: dict[Hashable, _Facts] = {}
        self._steps = 0

    def ask(self, windows: RasterioWindows, like: Hashable, directories: int) -> _Facts:
        """Return type, grid and colours of an image.

        Parameters
        ----------
        windows
            Of the image.
        like
            What it has in common with those that have the same; None: nothing.
        directories
            How many the file has.

        Raises
        ------
        FormatError
            If rasterio cannot open it.
        LimitExceeded
            If that would be one image too many of too many.
        """
        known = None if like is None else self._facts.get(like)
        if known is not None:
            return known
        self._steps += directories
        if self._steps > _MOST_STEPS and directories < self._steps:
            msg = f"GDAL would have to go through {directories} directories for each image that is unlike the others, {_MOST_STEPS} in all"
            raise LimitExceeded(msg)
        with windows.lend_dataset() as dataset:
            found = _read_facts(dataset, windows.url)
        if like is not None:
            self._facts[like] = found
        return found


def open_reference(windows: RasterioWindows, facts: _Facts) -> RasterioArray:
    """Serve a directory's pixels through rasterio.

    Parameters
    ----------
    windows
        Reads them.
    facts
        Their type, grid and colours.
    """
    dtype, grid, colours = facts
    found = RasterioArray(grid, dtype, windows.why, windows)
    found.colorinterp = colours
    return found


def with_colours(metadata: RasterMetadata, source: ArraySource) -> RasterMetadata:
    """Metadata with the colours that the reference library makes of an image: of CMYK red, green, blue and alpha."""
    colours = source.colorinterp if isinstance(source, RasterioArray) else ()
    return replace(metadata, colorinterp=colours) if colours and not metadata.colorinterp else metadata


def _read_facts(dataset: Any, url: str) -> _Facts:
    """Type, grid and colours of a dataset.

    rasterio raises what GDAL has complained of with whatever is asked next, though it is about something else, such as GeoKeys. Then the
    second answer counts.
    """
    from rasterio._err import CPLE_BaseError  # not public, but what escapes
    from rasterio.errors import RasterioError

    refusals = (RasterioError, CPLE_BaseError, ValueError, KeyError, TypeError, IndexError)
    try:
        return _ask_facts(dataset)
    except refusals:
        pass
    try:
        return _ask_facts(dataset)
    except refusals as error:
        msg = f"rasterio cannot say what is in it: {error}"
        raise FormatError(msg, url=url, tried="reference (rasterio)") from error


def _ask_facts(dataset: Any) -> _Facts:
    rows, columns = dataset.block_shapes[0]
    shape = (dataset.count, dataset.height, dataset.width)
    interleaved = dataset.profile.get("interleave") == "pixel"
    colours = tuple(c.name for c in dataset.colorinterp)
    grid = ChunkGrid(shape, (shape[0] if interleaved else 1, max(1, rows), max(1, columns)))
    return dataset_dtype(dataset.dtypes), grid, colours


def _first_cause(error: BaseException) -> BaseException:
    """Return what "Read failed. See previous exception for details" refers to: the first error of GDAL; other errors as they are."""
    if str(error).startswith("Read failed"):
        while error.__cause__ is not None:
            error = error.__cause__
    return error
