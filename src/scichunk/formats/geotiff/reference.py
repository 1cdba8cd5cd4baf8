"""The reference lane: windows through rasterio, one dataset per thread, GDAL's block cache bounded.

The driver is GTiff: what LIBERTIFF reads faster, the indexed lane reads; what is left here is what LIBERTIFF refuses or gets
wrong (NBITS 12, CCITT, CMYK JPEG, pages).
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.chunks.grid import ChunkGrid
from scichunk.errors import FormatError, located
from scichunk.reading import ReferenceArray
from scichunk.sources.base import ByteSource
from scichunk.sources.spill import local_copy

__all__ = ["RasterioWindows", "dataset_dtype", "open_reference"]

Array = npt.NDArray[Any]


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
    url
        For errors.
    mask
        Read the dataset's mask (0 or 255) instead of its bands.
    """

    def __init__(self, source: ByteSource, offset: int | None, why: str, *, mask: bool = False) -> None:
        self._url, self._mask = source.url, mask
        path, self._copy = local_copy(source, ".tif", f"the reference reader (rasterio) is needed for {why}")
        self._name = path if offset is None else f"GTIFF_DIR:off:{offset}:{path}"
        self._local = threading.local()
        self._opened: list[Any] = []
        weakref.finalize(self, _close, self._opened)  # also before Python ends, while GDAL is still whole

    def dataset(self) -> Any:  # rasterio has no types
        """Return this thread's dataset.

        Raises
        ------
        FormatError
            If rasterio cannot open it.
        """
        found = getattr(self._local, "dataset", None)
        if found is None:
            import rasterio

            try:
                with rasterio.Env(GDAL_CACHEMAX=options.get().gdal_cache_bytes, GDAL_DISABLE_READDIR_ON_OPEN=True):
                    found = self._local.dataset = rasterio.open(self._name, driver="GTiff")
            except Exception as error:  # rasterio raises what GDAL's plug-ins raise
                msg = f"rasterio cannot open it: {error}"
                raise FormatError(msg, url=self._url, tried="reference (rasterio)") from error
            self._opened.append(found)
        return found

    def __call__(self, window: tuple[slice, ...]) -> Array:
        """Read a window of (band, y, x), or of (y, x) of the mask."""
        import rasterio
        from rasterio.windows import Window

        dataset = self.dataset()
        rows, columns = window[-2:]
        place = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        try:
            with rasterio.Env(GDAL_CACHEMAX=options.get().gdal_cache_bytes):
                if self._mask:
                    found: Array = dataset.dataset_mask(window=place)
                else:
                    bands = list(range(window[0].start + 1, window[0].stop + 1))
                    several = len(set(dataset.dtypes)) > 1
                    found = dataset.read(
                        bands, window=place, out_dtype=dataset_dtype(dataset.dtypes) if several else None
                    )
        except Exception as error:  # rasterio raises what GDAL's plug-ins raise
            msg = f"rasterio cannot read rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}: {error}"
            raise FormatError(msg, url=self._url, tried="reference (rasterio)") from error
        return found


def _close(datasets: list[Any]) -> None:
    for dataset in datasets:
        dataset.close()


def open_reference(source: ByteSource, offset: int | None, why: str, part: str) -> ReferenceArray:
    """Serve a directory's pixels through rasterio.

    Raises
    ------
    FormatError
        If rasterio cannot open it.
    """
    with located(part=part):
        windows = RasterioWindows(source, offset, why)
        dataset = windows.dataset()
    dtype = dataset_dtype(dataset.dtypes)
    rows, columns = dataset.block_shapes[0]
    shape = (dataset.count, dataset.height, dataset.width)
    interleaved = dataset.profile.get("interleave") == "pixel"
    grid = ChunkGrid(shape, (dataset.count if interleaved else 1, max(1, rows), max(1, columns)))
    return ReferenceArray(grid, dtype, why, windows)
