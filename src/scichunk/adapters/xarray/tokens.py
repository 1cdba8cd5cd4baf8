"""Names of our lazy arrays for dask: by what they are, and not by all bytes that they hold.

``Dataset.chunk`` asks dask for a token of each variable. xarray's wrappers around a lazy array have none, so dask pickles and hashes them,
and with them the whole file where it was given as bytes: once for each variable. Imported once dask is.
"""

from __future__ import annotations

from typing import Any, Final

from dask.base import normalize_token
from xarray.core import indexing

from scichunk.adapters.xarray.lazy import LazyVariable

__all__ = ["WRAPPERS"]

WRAPPERS: Final = (indexing.MemoryCachedArray, indexing.CopyOnWriteArray, indexing.LazilyIndexedArray)
"""What xarray puts around a lazy array."""


def _make_token(wrapper: Any) -> Any:
    """The wrappers down to an array of ours with their keys; of others, and of loaded ones, what dask makes of any object."""
    found: list[Any] = []
    inner = wrapper
    while isinstance(inner, WRAPPERS):
        key = inner.key.tuple if isinstance(inner, indexing.LazilyIndexedArray) else ()
        found.append((type(inner).__name__, [normalize_token(k) for k in key]))
        inner = inner.array
    if not isinstance(inner, LazyVariable):
        return normalize_token.dispatch(object)(wrapper)
    return "scichunk", found, normalize_token(inner)


for _kind in WRAPPERS:
    normalize_token.register(_kind, _make_token)
