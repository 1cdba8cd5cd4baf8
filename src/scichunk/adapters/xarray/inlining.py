"""Readers within the tasks that read, for datasets that xarray chunks: as our own dask arrays have them.

xarray makes dask arrays with ``inline_array=False`` unless the user says otherwise: the reader is a node of its own. Then dask lists the
keys of all chunks for each window of an array (a million chunks: 0.7 s), which it need not where the reader, of a few hundred bytes, is in
the task. Imported once dask is.

And xarray names such arrays after the path and its date alone (``xr.open_dataset(..., chunks=)``): old and new values of an object of a
server, of a file whose date was put back, or of one whose mask lies beside it would have one name, and dask would compute one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dask.base import tokenize
from xarray.core import indexing
from xarray.namedarray.daskmanager import DaskManager

from scichunk.adapters.xarray import tokens  # noqa: F401  # with this come the tokens of our arrays, of which names are made
from scichunk.adapters.xarray.lazy import LazyVariable

__all__: list[str] = []


def _find_reader(data: Any) -> LazyVariable | None:
    """Find an array of ours in what xarray hands to dask, also behind a function that decodes times."""
    if not isinstance(data, indexing.ImplicitToExplicitIndexingAdapter):
        return None
    inner: Any = data.array
    while inner is not None and not isinstance(inner, LazyVariable):
        inner = getattr(inner, "array", None)
    return inner


def _with_readers_inlined(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_array(self: Any, data: Any, chunks: Any, **kwargs: Any) -> Any:
        reader = _find_reader(data)
        if reader is not None:
            if not reader.array.handle.location.is_content:  # which would be in each task
                kwargs["inline_array"] = True
            stem, dash, token = str(kwargs.get("name") or "").rpartition("-")
            if dash:
                kwargs["name"] = f"{stem}-{tokenize(token, reader)}"
        return original(self, data, chunks, **kwargs)

    from_array.inlines_readers = True  # type: ignore[attr-defined]
    return from_array


if not hasattr(DaskManager.from_array, "inlines_readers"):
    DaskManager.from_array = _with_readers_inlined(DaskManager.from_array)  # type: ignore[method-assign]
