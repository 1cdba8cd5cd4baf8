"""Many files as one dataset: a stack with the coordinates of its first file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.adapters.dask.stacks import Headers, stack_of, stack_to_dask
from scichunk.adapters.lazy import LazyArray
from scichunk.core.handles import open_file
from scichunk.errors import FormatError
from scichunk.raster.cf import Decoding
from scichunk.sources import locate

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

__all__ = ["open_stack"]

Array = npt.NDArray[Any]
Labels = Sequence[Any] | Callable[[str], Any] | None
"""Values, a function of a url, or a header's keyword."""


def open_stack(
    urls: Sequence[Any],
    dim: str = "file",
    *,
    headers: Headers = "all",
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    coordinate: Labels = None,
    format: str | None = None,  # noqa: A002  # the word users know
    **kwargs: Any,
) -> xr.Dataset:
    """Open many aligned files as one dataset with a new first dimension.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in order.
    dim
        Name of the new dimension.
    headers
        ``"all"`` reads and compares every header, ``"first"`` only the first.
    chunks
        For (``dim``, band, y, x), as in :func:`from_geotiffs`.
    storage_options
        For fsspec.
    coordinate
        Values along ``dim``; or a function of a file's url that gives one; or the keyword of a header that every file has,
        such as ``"DATE-OBS"``: the files are put in its order. By default the file names.
    format
        Name of the format; by default found from the first file.
    **kwargs
        Further arguments of the engine, such as ``mask_and_scale``, ``hdu`` or ``overview``.

    Returns
    -------
    xarray.Dataset
        Coordinates and attributes are those of the first file.

    Raises
    ------
    FormatError
        If a file is corrupt, or not aligned with the first.
    SourceError
        If a file is missing or cannot be read.
    """
    import xarray as xr

    from scichunk.adapters.xarray.datasets import open_any

    if not len(urls):
        msg = "no files to stack"
        raise ValueError(msg)
    name = format or open_any(None, urls[0], storage_options)[0]
    if isinstance(coordinate, str):
        urls, coordinate = _in_order(name, urls, coordinate, storage_options)
    first = xr.open_dataset(urls[0], engine=name, storage_options=storage_options, chunks=None, **kwargs)
    lazy = _lazy(first[next(iter(first.data_vars))])
    stacked = stack_to_dask(stack_of(name, urls, lazy.handle.place, headers, storage_options), chunks)
    return _assemble(urls, dim, coordinate, first, _decoded(stacked, lazy.decoding))


def _assemble(
    urls: Sequence[Any],
    dim: str,
    coordinate: Labels,
    first: xr.Dataset,
    values: da.Array,
) -> xr.Dataset:
    """Make the dataset of a stack: coordinates and attributes of the first file, and labels of the files."""
    import xarray as xr

    variable = next(iter(first.data_vars))
    template = first[variable]
    coords = {dim: (dim, _labels(urls, coordinate)), **{n: c.variable for n, c in first.coords.items()}}
    encoding = {"grid_mapping": template.encoding.get("grid_mapping")}
    array = xr.Variable((dim, *template.dims), values, template.attrs, encoding)
    return xr.Dataset({variable: array}, coords=coords, attrs=first.attrs)


def _lazy(variable: xr.DataArray) -> LazyArray:
    """Our reader within the wrappers of xarray."""
    from scichunk.adapters.xarray.datasets import LazyVariable

    data: Any = variable.variable._data  # noqa: SLF001  # there is no public way to a lazily indexed array
    while not isinstance(data, LazyVariable):
        data = data.array
    return data.array


def _decoded(stacked: da.Array, decoding: Decoding | None) -> da.Array:
    """Apply to every file the masking and scaling that the first one's engine applied."""
    if decoding is None:
        return stacked

    def decode(block: Array) -> Array:
        bands = np.arange(block.shape[1])
        return np.stack([decoding.apply(b, bands) for b in block]) if len(block) else block.astype(decoding.dtype)

    if len(decoding.steps) > 1 and len(stacked.chunks[1]) > 1:
        stacked = stacked.rechunk(cast("Any", {1: -1}))
    return stacked.map_blocks(
        decode, dtype=np.dtype(decoding.dtype), meta=np.empty((0,) * stacked.ndim, decoding.dtype)
    )


def _in_order(
    format_name: str, urls: Sequence[Any], keyword: str, storage_options: Mapping[str, Any] | None
) -> tuple[list[Any], Any]:
    """Sort files by a keyword of their headers; dates become datetimes."""

    def value(url: Any) -> Any:
        location = locate(url, storage_options)
        file = open_file(format_name, location)
        groups = file.groups()
        for attrs in (file.root(), file.node(groups[0]).attrs if groups else {}):
            if keyword in attrs:
                return attrs[keyword]
        msg = f"its header has no {keyword}"
        raise FormatError(msg, url=location.url)

    with ThreadPoolExecutor(options.get().concurrency) as pool:
        found = list(pool.map(value, urls))
    values = np.asarray(found)
    if values.dtype.kind == "U":
        try:
            values = values.astype("M8[ns]")
        except ValueError:  # texts that are no dates sort as texts
            values = np.asarray(found)
    order = np.argsort(values, kind="stable")
    return [urls[i] for i in order.tolist()], values[order]


def _labels(urls: Sequence[Any], coordinate: Labels) -> Any:
    names = [str(u) for u in urls]
    if coordinate is None:
        return np.array([n.rstrip("/").rpartition("/")[2] for n in names])
    return np.asarray([coordinate(n) for n in names] if callable(coordinate) else coordinate)
