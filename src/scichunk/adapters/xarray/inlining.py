"""Readers within the tasks that read, for datasets that xarray chunks: as our own dask arrays have them.

xarray makes dask arrays with ``inline_array=False`` unless the user says otherwise: the reader is a node of its own. Then dask lists the
keys of all chunks for each window of an array (a million chunks: 0.7 s), which it need not where the reader, of a few hundred bytes, is in
the task. Imported once dask is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xarray.core import indexing
from xarray.namedarray.daskmanager import DaskManager

from scichunk.adapters.xarray.lazy import LazyVariable
from scichunk.adapters.xarray.tokens import WRAPPERS

__all__: list[str] = []


def _is_small_reader(data: Any) -> bool:
    """Whether an array that xarray hands to dask is one of ours, and does not hold the content of its file."""
    if not isinstance(data, indexing.ImplicitToExplicitIndexingAdapter):
        return False
    inner: Any = data.array
    while isinstance(inner, WRAPPERS):
        inner = inner.array
    return isinstance(inner, LazyVariable) and not inner.array.handle.location.is_content


def _with_readers_inlined(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_array(self: Any, data: Any, chunks: Any, **kwargs: Any) -> Any:
        if _is_small_reader(data):
            kwargs["inline_array"] = True
        return original(self, data, chunks, **kwargs)

    from_array.inlines_readers = True  # type: ignore[attr-defined]
    return from_array


if not hasattr(DaskManager.from_array, "inlines_readers"):
    DaskManager.from_array = _with_readers_inlined(DaskManager.from_array)  # type: ignore[method-assign]
