"""Small documents that are far away: fetched once, when columns are asked for one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.cache import key_of, tiles
from scichunk.sources import ByteSource
from scichunk.sources.base import check_ranges

__all__ = ["CachedSource"]


class CachedSource:
    """A source that can be told to keep the whole file in the cache of decoded chunks, as long as there is room.

    Parameters
    ----------
    source
        The file.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.url, self.key = source.url, source.key
        self.fingerprint, self.batch_bytes = source.fingerprint, source.batch_bytes
        self.is_cached = False
        self._lock = threading.Lock()

    @property
    def is_cheap(self) -> bool:
        """Whether the whole file is, or is about to be, in memory."""
        return self.is_cached or self._source.is_cheap

    def cache_whole(self) -> None:
        """Fetch everything with the next read, if the file is small enough."""
        self.is_cached = self.fingerprint.size <= options.get().cached_tile_bytes // 4

    def head(self) -> memoryview:
        """Return the first bytes."""
        return self._source.head()

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Slice what is cached, or read the file."""
        if not self.is_cached:
            return self._source.read_ranges(starts, stops)
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        data = self._read_whole().data
        return [data[a:b] for a, b in zip(starts, stops, strict=True)]

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`."""
        if not self.is_cached:
            return await self._source.read_ranges_async(starts, stops)
        return self.read_ranges(starts, stops)

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _read_whole(self) -> npt.NDArray[np.uint8]:
        key = (key_of(self), "whole file")
        with self._lock:
            found = tiles.get(key)
            if found is None:
                data = self._source.read_ranges([0], [self.fingerprint.size])[0]
                found = tiles.put(key, np.frombuffer(bytes(data), np.uint8))
            return cast("npt.NDArray[np.uint8]", found)
