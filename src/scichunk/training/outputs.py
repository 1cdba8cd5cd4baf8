"""Where predictions go: Zarr, GeoTIFF by way of it, or memory; chunk by chunk, and what is done is known when it goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["MemoryOutput", "Output", "ZarrOutput", "remove_zarr", "write_raster"]

Array = npt.NDArray[Any]
Cell = tuple[int, int]
Box = tuple[slice, slice]


class Output(Protocol):
    """Takes chunks."""

    def done(self) -> Array:
        """Return which chunks were written by an earlier run; all False if there was none."""
        ...

    def prepare(self, template: Any, chunks: Sequence[int]) -> None:
        """Make room for an array with the coordinates of a template, unless there is."""
        ...

    def write(self, cell: Cell, box: Box, values: Array) -> None:
        """Write a chunk."""
        ...

    def finish(self) -> Any:
        """Return all as a dataset."""
        ...


class MemoryOutput:
    """Keeps everything in memory."""

    def __init__(self, counts: tuple[int, int]) -> None:
        self._counts = counts
        self._made: Any = None

    def done(self) -> Array:
        """Nothing is done."""
        return np.zeros(self._counts, bool)

    def prepare(self, template: Any, chunks: Sequence[int]) -> None:
        """Make room."""
        del chunks
        self._made = template.copy(data=np.zeros(template.shape, template.dtype))

    def write(self, cell: Cell, box: Box, values: Array) -> None:
        """Put a chunk into its place."""
        del cell
        self._made.values[(..., *box)] = values

    def finish(self) -> Any:
        """Return all as a dataset."""
        return self._made.to_dataset()


class ZarrOutput:
    """A Zarr group that xarray opens; an array beside the predictions says which chunks are done, until all are.

    Parameters
    ----------
    target
        Path, URL or store.
    name
        Of the variable.
    counts
        Chunks along rows and columns.
    storage_options
        For fsspec.
    """

    def __init__(self, target: Any, name: str, counts: tuple[int, int], storage_options: Any = None) -> None:
        try:
            import zarr
        except ImportError:
            msg = "writing predictions needs Zarr: pip install zarr"
            raise ImportError(msg) from None
        self._zarr, self._target, self._name, self._counts = zarr, target, name, counts
        self._storage_options = storage_options
        self._marks = f"{name}_done"

    def _open(self) -> Any:
        return self._zarr.open_group(self._target, mode="r+", storage_options=self._storage_options)

    def done(self) -> Array:
        """Return which chunks were written by an earlier run that was not completed."""
        try:
            group = self._open()
        except (FileNotFoundError, KeyError):
            return np.zeros(self._counts, bool)
        if self._marks not in group or group[self._marks].shape != self._counts:
            return np.zeros(self._counts, bool)
        return np.asarray(group[self._marks][...], bool)

    def prepare(self, template: Any, chunks: Sequence[int]) -> None:
        """Write metadata and coordinates, unless an earlier run has."""
        import dask.array as da

        if self.done().any():
            existing = self._open()[self._name]
            if existing.shape != template.shape or existing.dtype != template.dtype:
                msg = (
                    f"{self._target} holds a part of other predictions, {existing.dtype}{existing.shape} "
                    f"instead of {template.dtype}{template.shape}: remove it, or give another out="
                )
                raise ValueError(msg)
            return
        lazy = template.copy(data=da.zeros(template.shape, dtype=template.dtype, chunks=tuple(chunks)))
        given = {"storage_options": self._storage_options} if self._storage_options else {}
        encoding = {self._name: {**template.encoding, "chunks": tuple(chunks)}}
        lazy.to_dataset().to_zarr(
            self._target, mode="w", compute=False, encoding=encoding, consolidated=False, zarr_format=3, **given
        )
        self._open().create_array(self._marks, shape=self._counts, chunks=(1, 1), dtype="u1", fill_value=0)

    def write(self, cell: Cell, box: Box, values: Array) -> None:
        """Write a chunk, then that it is done."""
        group = self._open()
        group[self._name][(..., *box)] = values
        group[self._marks][cell] = 1

    def finish(self) -> Any:
        """Take the marks away, and open the dataset."""
        import xarray as xr

        group = self._open()
        if self._marks in group:
            del group[self._marks]
        given = {"storage_options": self._storage_options} if self._storage_options else {}
        return xr.open_zarr(self._target, consolidated=False, decode_coords="all", **given)


def write_raster(dataset: Any, name: str, path: str, profile: dict[str, Any]) -> None:
    """Write a variable as a cloud-optimized GeoTIFF, chunk by chunk; the file is there once it is complete.

    Parameters
    ----------
    dataset
        Opened lazily, of chunks.
    name
        Of the variable: (rows, columns), or (band, rows, columns).
    path
        Of the file.
    profile
        ``crs`` and ``transform``, and what the driver COG is to be told.
    """
    import rasterio
    from rasterio.shutil import copy
    from rasterio.windows import Window

    array = dataset[name]
    bands = array.ndim == 3
    crs, transform = profile.pop("crs"), profile.pop("transform")
    plain, whole = f"{path}.part.tif", f"{path}.whole.tif"
    options = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer"}
    count = array.shape[0] if bands else 1
    rows, columns = array.shape[-2:]
    nodata = np.nan if array.dtype.kind == "f" else None
    try:
        with rasterio.open(
            plain, "w", count=count, height=rows, width=columns, dtype=array.dtype, crs=crs, transform=transform, nodata=nodata, **options
        ) as file:  # fmt: skip
            for y in range(0, rows, 512):
                part = array[..., y : y + 512, :].values
                file.write(part if bands else part[None], window=Window(0, y, columns, part.shape[-2]))
        copy(plain, whole, driver="COG", **{"compress": "deflate", "predictor": "yes", **profile})
        os.replace(whole, path)
    finally:
        for left in (plain, whole):
            if os.path.exists(left):
                os.remove(left)


def remove_zarr(path: str) -> None:
    """Remove a local group."""
    shutil.rmtree(path)
