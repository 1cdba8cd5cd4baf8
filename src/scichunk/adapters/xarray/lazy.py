"""Lazily read arrays in the form that xarray indexes."""

from __future__ import annotations

import asyncio
from typing import Any

from xarray.backends import BackendArray
from xarray.core import indexing

from scichunk.adapters.following import import_after
from scichunk.adapters.lazy import LazyArray
from scichunk.adapters.xarray import selecting

__all__ = ["LazyVariable"]

selecting.install_selection()  # where a dataset of ours is opened, or arrives by pickle


class LazyVariable(BackendArray):
    """Gives a :class:`~scichunk.adapters.lazy.LazyArray` to xarray."""

    __slots__ = ("array", "dtype", "shape")

    def __init__(self, array: LazyArray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.VectorizedIndexer):
            return self.array.points(key.tuple)
        return self.array[key.tuple]

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        """Read without blocking the event loop."""
        if isinstance(key, indexing.VectorizedIndexer):
            return await asyncio.to_thread(self.array.points, key.tuple)
        return await self.array.aget(key.tuple)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.array.__dask_tokenize__()


import_after("dask", "scichunk.adapters.xarray.inlining")  # and with it the names of our arrays
