"""``from_file``: one lazy dask array from one file of any format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np

from scichunk.adapters.lazy import LazyArray
from scichunk.adapters.opening import dims_of, lazy_array, open_any
from scichunk.core.planning import resolve_chunks, sizes_by_name
from scichunk.errors import located

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Reader", "from_file", "to_dask"]

Reader = Literal["auto", "indexed", "reference"]
_MOST_KEYS: Final = 10_000


def from_file(
    url: Any,
    *,
    format: str | None = None,  # noqa: A002  # the word users know
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    **selectors: Any,
) -> da.Array:
    """Read an array of a file of any format lazily.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes.
    format
        Name of the format, see :func:`scichunk.list_formats`; by default found by the first bytes of the file, then by its name.
    chunks
        ``"auto"`` merges the file's own chunks up to dask's ``array.chunk-size``; ``{}`` or ``"native"`` keeps them; ``"64MiB"`` merges up
        to that size; sizes by names of dimensions (those not named as xarray chunks them), or anything that
        :func:`dask.array.from_array` takes. None and True are ``"auto"``.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **selectors
        Which array: the words of the format (``page``, ``hdu``, ``column``, ``bands``, ``reader``, ...); ``FormatSpec.selectors``
        lists them.

    Returns
    -------
    dask.array.Array
        Stored values in native byte order, with the axes of the format.

    Raises
    ------
    FormatError
        If it is of no known format, is corrupt, or has no such array.
    UnsupportedFeature
        If the reader cannot decode it.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its header promises sizes beyond :mod:`scichunk.options`.
    TypeError, ValueError
        If a selector is not one of the format, or has an impossible value.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.from_file("scene.tif", bands=[3, 2, 1]).mean(axis=(1, 2)).compute()  # doctest: +SKIP
    """
    opened = open_any(format, url, storage_options)
    lazy = lazy_array(opened, selectors, "from_file")
    return to_dask(lazy, chunks, lambda: dims_of(opened.file, lazy.handle.array_id))


def to_dask(lazy: LazyArray, chunks: Any, dims: Callable[[], Sequence[str]] = tuple) -> da.Array:
    """Wrap a reader: one task a chunk, the reader inlined, no lock; ``dims`` names its axes, where they are asked for."""
    import dask.array as da
    import dask.config
    from dask.base import tokenize
    from dask.utils import parse_bytes

    from scichunk.adapters.dask.compact import compact

    grid = lazy.grid
    target = parse_bytes(dask.config.get("array.chunk-size"))
    if isinstance(chunks, Mapping) and chunks:
        chunks = sizes_by_name(chunks, dims(), grid, lazy.dtype.itemsize)
    url = lazy.handle.location.url
    with located(url=url):
        found = resolve_chunks(chunks, grid, lazy.dtype.itemsize, target)
    stem = url.rstrip("/").rpartition("/")[2].partition("?")[0][:40]
    # Content is a task of its own, so that it travels once. Dask then lists all keys, which for very many chunks would fill the memory.
    alone = lazy.handle.location.is_content and math.prod(len(c) for c in found) <= _MOST_KEYS
    name = f"{lazy.handle.format}-{stem}-{tokenize(lazy, str(found))}"  # a text is hashed at once, tuples one by one
    made = da.from_array(
        lazy,
        chunks=cast("Any", found),  # dask's annotation knows only "auto"
        name=name,
        lock=False,
        asarray=False,
        fancy=True,
        inline_array=not alone,
        meta=np.empty((0,) * len(found), lazy.dtype),
    )
    small: da.Array = compact(made)
    return small
