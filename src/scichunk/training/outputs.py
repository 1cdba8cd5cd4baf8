"""Where predictions go: Zarr, GeoTIFF by way of it, or memory; chunk by chunk, and what is done is known when it goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from scichunk.core.registry import sniff_suffix
from scichunk.errors import SourceError, UnsupportedFeature
from scichunk.sources.base import public_url
from scichunk.sources.location import checked_options
from scichunk.sources.output import local_errors, local_path, look_at_target, open_output, run_work
from scichunk.sources.siblings import find_existing
from scichunk.training.resuming import resumable_folder

__all__ = ["MemoryOutput", "Output", "ZarrOutput", "open_raster"]

T = TypeVar("T")

Array = npt.NDArray[Any]
Cell = tuple[int, int]
Box = tuple[slice, slice]
_COPY_BYTES: Final = 1 << 22


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
        """Make room: what no patch reaches is NaN, or 0 of integers, as in a Zarr group."""
        del chunks
        nothing = np.nan if template.dtype.kind in "fc" else 0
        self._made = template.copy(data=np.full(template.shape, nothing, template.dtype))

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
    overwrite
        Replace a group that is there, and is none of these predictions.
    storage_options
        For fsspec.
    """

    def __init__(
        self, target: Any, name: str, counts: tuple[int, int], *, overwrite: bool = False, storage_options: Any = None
    ) -> None:
        try:
            import zarr
        except ImportError:
            msg = "writing predictions needs Zarr: pip install zarr"
            raise ImportError(msg) from None
        self._zarr, self._name, self._counts, self._overwrite = zarr, name, counts, overwrite
        named = isinstance(target, str | os.PathLike)
        self._path = local_path(target) if named else None
        self._url = str(target) if named else ""
        self._target = self._path or (self._url if named else target)
        self._options = checked_options(storage_options)
        self._given: dict[str, Any] = {"storage_options": self._options} if self._options and self._path is None else {}
        self._marks = f"{name}_done"
        self._is_there = False

    def _run(self, work: Callable[[], T]) -> T:
        return run_work(work, self._url, self._options)

    def _open(self) -> Any:
        return self._zarr.open_group(self._target, mode="r+", **self._given)

    def _find(self) -> Any:
        """Open the group; None where there is neither a group nor an array."""
        try:
            found = self._open()
        except (FileNotFoundError, KeyError):
            return None
        except self._zarr.errors.ContainsArrayError:
            found = {}
        self._is_there = True
        return found

    def done(self) -> Array:
        """Return which chunks were written by an earlier run that was not completed.

        Raises
        ------
        SourceError
            If something else is there that is not to be replaced.
        """
        if self._path is not None and os.path.lexists(self._path) and not os.path.isdir(self._path):
            msg = "is a file, pipe or device, where a folder is to be"
            raise SourceError(msg, url=self._url)
        found = self._run(self._find)
        if found is None and self._path is not None and os.path.isdir(self._path) and os.listdir(self._path):
            msg = "is a folder with other things in it than a Zarr group"
            raise SourceError(msg, url=self._url)
        none = np.zeros(self._counts, bool)
        if found is None:
            return none
        if self._marks in found and found[self._marks].shape == self._counts:
            return self._run(lambda: np.asarray(found[self._marks][...], bool))
        if not self._overwrite:
            msg = "the group exists already; overwrite=True replaces it"
            raise SourceError(msg, url=public_url(self._url))
        return none

    def prepare(self, template: Any, chunks: Sequence[int]) -> None:
        """Write metadata and coordinates, unless an earlier run has."""
        import dask.array as da

        if self.done().any():
            existing = self._run(lambda: self._open()[self._name])
            # Of chunks of another length there may be as many, but what is done of them is another part of the scene.
            there, here = ((a.shape, a.dtype, tuple(c)) for a, c in ((existing, existing.chunks), (template, chunks)))
            if there != here:
                msg = (
                    f"{public_url(self._url) or 'the store'} holds a part of other predictions, {there[1]}{there[0]} in chunks of "
                    f"{there[2]} instead of {here[1]}{here[0]} in chunks of {here[2]}: remove it, or give another out"
                )
                raise ValueError(msg)
            return
        lazy = template.copy(data=da.zeros(template.shape, dtype=template.dtype, chunks=tuple(chunks)))
        encoding = {self._name: {**template.encoding, "chunks": tuple(chunks)}}

        def make() -> None:
            # With "w-" nothing is removed. The marks come first: by them the next run knows that the group is none of the user's.
            group = self._zarr.open_group(
                self._target, mode="w" if self._is_there else "w-", zarr_format=3, **self._given
            )
            group.create_array(
                self._marks, shape=self._counts, chunks=(1, 1), dtype="u1", fill_value=0,
                dimension_names=("chunk_row", "chunk_column"),
            )  # fmt: skip
            lazy.to_dataset().to_zarr(
                self._target, mode="a", compute=False, encoding=encoding, consolidated=False, **self._given
            )

        self._run(make)

    def write(self, cell: Cell, box: Box, values: Array) -> None:
        """Write a chunk, then that it is done."""

        def put() -> None:
            group = self._open()
            group[self._name][(..., *box)] = values
            group[self._marks][cell] = 1

        self._run(put)

    def finish(self) -> Any:
        """Take the marks away, and open the dataset."""

        def close() -> None:
            group = self._open()
            if self._marks in group:
                del group[self._marks]

        self._run(close)
        return self._run(self._opened)

    def _opened(self) -> Any:
        import xarray as xr

        found = xr.open_zarr(self._target, consolidated=False, decode_coords="all", **self._given)
        if "source" in found.encoding:  # xarray writes down the whole URL
            found.encoding["source"] = public_url(str(found.encoding["source"]))
        return found


class RasterOutput(ZarrOutput):
    """A cloud-optimized GeoTIFF, by way of a Zarr group in a folder of its own.

    Parameters
    ----------
    path
        Of the file.
    folder
        Where a run that was broken off finds what it had done.
    name
        Of the variable.
    counts
        Chunks along rows and columns.
    overwrite
        Replace a file that is there.
    profile
        ``crs`` and ``transform``, and what the driver COG is to be told.
    """

    def __init__(
        self, path: str, folder: str, name: str, counts: tuple[int, int], *, overwrite: bool, profile: dict[str, Any]
    ) -> None:
        super().__init__(os.path.join(folder, "group.zarr"), name, counts, overwrite=True)
        self._raster, self._folder, self._profile, self._replace = path, folder, profile, overwrite

    def finish(self) -> None:
        """Write the GeoTIFF. The marks stay, so that a run that is broken off here predicts nothing again."""
        try:
            with self._run(self._opened) as dataset:
                whole = run_work(
                    lambda: _write_raster(dataset[self._name], self._folder, self._profile), self._raster, {}
                )
            with open_output(self._raster, overwrite=self._replace) as file, open(whole, "rb") as made:
                shutil.copyfileobj(made, file, _COPY_BYTES)
            with local_errors(self._raster):
                for name in _find_beside(self._raster):
                    os.unlink(name)
        except SourceError as error:
            error.message += f"; the predictions are kept in {os.path.basename(self._folder)!r} for the next run, unless that is removed"
            raise


@contextlib.contextmanager
def open_raster(
    target: str, name: str, counts: tuple[int, int], *, overwrite: bool, profile: dict[str, Any]
) -> Iterator[RasterOutput]:
    """Give the output of a GeoTIFF; what it needs on the way is kept if the block fails, for a later run.

    Raises
    ------
    SourceError
        If the target may not or cannot be written, which is found out before anything is predicted.
    UnsupportedFeature
        If GDAL cannot write there.
    """
    path = local_path(target)
    if path is None:
        msg = "a raster of predictions is written to a local file; give a path, or the URL of a Zarr group"
        raise UnsupportedFeature(msg, url=public_url(target))
    try:
        path.encode()
    except UnicodeEncodeError:
        msg = "GDAL writes rasters only to names that are UTF-8"
        raise UnsupportedFeature(msg, url=path) from None
    with local_errors(path):
        look_at_target(path, overwrite)
    beside = _find_beside(path)
    if beside and not overwrite:
        msg = f"{os.path.basename(beside[0])!r} is there, which would be read with it; overwrite=True removes it"
        raise SourceError(msg, url=path)
    with resumable_folder(path) as folder:
        yield RasterOutput(path, folder, name, counts, overwrite=overwrite, profile=profile)


def _find_beside(path: str) -> list[str]:
    """Find masks, overviews and metadata beside a raster of this very name: those of an earlier one would count for the new one."""
    name, spec = os.path.basename(path), sniff_suffix(path)
    siblings = spec.siblings(name) if spec is not None and spec.siblings is not None else ()
    return find_existing(path, [n for n in siblings if n.startswith(name)])


def _write_raster(array: Any, folder: str, profile: dict[str, Any]) -> str:
    """Write a variable as a cloud-optimized GeoTIFF, chunk by chunk; return the name of the file.

    Parameters
    ----------
    array
        (rows, columns), or (band, rows, columns); opened lazily, of chunks.
    folder
        For the file.
    profile
        ``crs`` and ``transform``, and what the driver COG is to be told.
    """
    import rasterio
    from rasterio.shutil import copy
    from rasterio.windows import Window

    bands = array.ndim == 3
    told = {name: value for name, value in profile.items() if name not in {"crs", "transform"}}
    plain, whole = os.path.join(folder, "plain.tif"), os.path.join(folder, "whole.tif")
    options = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer"}
    place = {"crs": profile["crs"], "transform": profile["transform"]}
    count = array.shape[0] if bands else 1
    rows, columns = array.shape[-2:]
    nodata = np.nan if array.dtype.kind == "f" else None
    with rasterio.open(
        plain, "w", count=count, height=rows, width=columns, dtype=array.dtype, nodata=nodata, **place, **options
    ) as file:
        for y in range(0, rows, 512):
            part = array[..., y : y + 512, :].values
            file.write(part if bands else part[None], window=Window(0, y, columns, part.shape[-2]))
    copy(plain, whole, driver="COG", **{"compress": "deflate", "predictor": "yes", **told})
    return whole
