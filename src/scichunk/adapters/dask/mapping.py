"""``map_chunks``: a function of native chunks, called within tasks of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scichunk.adapters.dask.mapped import MappedArray
from scichunk.adapters.dask.native import Native, find_reader

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["map_chunks", "required_reader"]


def map_chunks(f: Callable[..., Any], obj: Any, *, dtype: Any = None, chunks: Any = "auto", **kwargs: Any) -> Any:
    """Apply a function to each native chunk of an array, many of them in one task.

    A task of dask reads many native chunks (tiles, files of a stack), and calls the function with one after the other. So the graph stays
    small whatever the number of chunks, and a task holds one chunk beside its result. Follow it with :func:`scichunk.reduce`, and the
    result is not held either.

    Parameters
    ----------
    f
        Called as ``f(chunk, **kwargs)`` with a NumPy array; returns an array of the same shape. Chunks at borders are smaller.
    obj
        A dask array or ``xarray.DataArray`` as scichunk has opened it.
    dtype
        Type of the values that ``f`` returns; by default that of what it makes of one value.
    chunks
        Chunks of the result: ``"auto"`` merges native chunks up to dask's ``array.chunk-size``; or as in :func:`scichunk.from_file`.
    **kwargs
        Handed to ``f``.

    Returns
    -------
    dask.array.Array or xarray.DataArray
        Of the shape of ``obj``.

    Raises
    ------
    TypeError
        If ``obj`` is not an array that scichunk has opened, or was computed or cut from one: its native chunks are not known.
    ValueError
        If ``f`` changes the shape of a chunk, or its type cannot be found by a trial.

    Examples
    --------
    >>> import scichunk
    >>> clipped = scichunk.map_chunks(lambda v: v.clip(0, 255), scichunk.from_files("dem_*.tif"))  # doctest: +SKIP
    >>> scichunk.reduce(clipped, "mean", dim=0).compute()  # doctest: +SKIP
    """
    if hasattr(obj, "variable") and hasattr(obj, "dims"):  # a DataArray of xarray
        made = map_chunks(
            f, obj.data if obj.chunks is not None else obj.chunk().data, dtype=dtype, chunks=chunks, **kwargs
        )
        found = obj.copy(data=made)
        # How the file stores its values says nothing of these: they would be scaled and rounded so where they are written.
        found.encoding = {name: value for name, value in obj.encoding.items() if name == "grid_mapping"}
        return found
    reader = required_reader(obj, "map_chunks")
    mapped = MappedArray(reader, f, kwargs, np.dtype(dtype) if dtype is not None else _try_dtype(f, reader, kwargs))
    return _to_dask(mapped, chunks)


def required_reader(obj: Any, where: str) -> Native:
    """Return the reader behind a dask array, or raise TypeError."""
    reader = find_reader(obj)
    if reader is None:
        msg = (
            f"{where} takes a dask array or DataArray as scichunk has opened it; this {type(obj).__name__} is none, or was computed or cut "
            "from one, so that its native chunks are not known"
        )
        raise TypeError(msg)
    return reader


def _try_dtype(f: Callable[..., Any], reader: Native, kwargs: dict[str, Any]) -> np.dtype[Any]:
    try:
        with np.errstate(all="ignore"):
            return np.dtype(np.asarray(f(np.ones((1,) * len(reader.shape), reader.dtype), **kwargs)).dtype)
    except Exception as error:
        msg = f"the function cannot be tried with a chunk of one value to find the type of what it returns ({error!r}): give dtype="
        raise ValueError(msg) from error


def _to_dask(mapped: MappedArray, chunks: Any) -> da.Array:
    import dask.array as da
    import dask.config
    from dask.base import tokenize
    from dask.utils import parse_bytes

    from scichunk.adapters.dask.compact import compact
    from scichunk.core.planning import resolve_chunks

    target = parse_bytes(dask.config.get("array.chunk-size"))
    found = resolve_chunks(chunks, mapped.grid, mapped.dtype.itemsize, target)
    made = da.from_array(
        mapped,
        chunks=cast("Any", found),
        name=f"map-chunks-{tokenize(mapped, str(found))}",
        lock=False,
        asarray=False,
        fancy=True,
        inline_array=True,
        meta=np.empty((0,) * mapped.ndim, mapped.dtype),
    )
    small: da.Array = compact(made)
    return small
