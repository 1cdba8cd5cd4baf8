"""Computed coordinates in the form that xarray indexes."""

from __future__ import annotations

import asyncio
from typing import Any

import pandas as pd
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["LazyCoordinate", "pixel_numbers"]


def pixel_numbers(size: int) -> pd.RangeIndex:
    """Return 0, 1, ... as a range, which takes no memory: a header may speak of more pixels than fit into it."""
    return pd.RangeIndex(size)


class LazyCoordinate(BackendArray):
    """Gives a computed coordinate (of a rotated raster) to xarray."""

    __slots__ = ("array", "dtype", "shape")

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self.array.__getitem__
        )

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        """Compute in a thread: nothing is waited for, but the event loop goes on."""
        return await asyncio.to_thread(self.__getitem__, key)
