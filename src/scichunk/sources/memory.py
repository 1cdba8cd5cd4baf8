"""Bytes that are in memory already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from scichunk import options
from scichunk.sources.base import ByteSource, Fingerprint, check_ranges

__all__ = ["BytesSource", "CachedRangesSource"]


class BytesSource:
    """A whole file as one object with the buffer protocol.

    Parameters
    ----------
    data
        The content of the file.
    url
        A name for messages; by default made from a digest of the content.
    tag
        What tells this version of the content from others, if that is known; by default a digest.
    """

    is_cheap = True

    def __init__(self, data: bytes | bytearray | memoryview, url: str | None = None, tag: str = "") -> None:
        self._data = memoryview(data).cast("B")
        tag = tag or hashlib.blake2b(self._data, digest_size=16).hexdigest()
        self.url = url or f"bytes:{tag}"
        self.key = self.url
        self.fingerprint = Fingerprint(len(self._data), tag)

    def __repr__(self) -> str:
        return f"BytesSource({self.url!r}, {self.fingerprint.size} bytes)"

    @property
    def batch_bytes(self) -> int:
        """Ask for everything at once: nothing is copied."""
        return 1 << 62

    @property
    def cached_bytes(self) -> int:
        """All of it."""
        return len(self._data)

    def head(self) -> memoryview:
        """Return the first bytes."""
        return self._data[: options.get().head_bytes]

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Slice; nothing is copied."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        return [self._data[a:b] for a, b in zip(starts, stops, strict=True)]

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Slice; nothing is copied."""
        return self.read_ranges(starts, stops)

    def close(self) -> None:
        """Do nothing: the memory goes with the last reference."""


class CachedRangesSource:
    """A stretch of a file that has been fetched already; what lies outside it is read from the file.

    Parameters
    ----------
    source
        The file.
    start
        First byte of the stretch.
    data
        Its bytes.
    """

    def __init__(self, source: ByteSource, start: int, data: bytes | memoryview) -> None:
        self._source, self._start, self._data = source, start, memoryview(data)
        self.url, self.key, self.fingerprint = source.url, source.key, source.fingerprint
        self.batch_bytes, self.is_cheap = source.batch_bytes, source.is_cheap

    def head(self) -> memoryview:
        """Return the first bytes of the file."""
        return self._source.head()

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Slice what is cached; read the file if any range is not."""
        if self._covers(starts, stops):
            return [self._data[a - self._start : b - self._start] for a, b in zip(starts, stops, strict=True)]
        return self._source.read_ranges(starts, stops)

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`."""
        if self._covers(starts, stops):
            return self.read_ranges(starts, stops)
        return await self._source.read_ranges_async(starts, stops)

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _covers(self, starts: Sequence[int], stops: Sequence[int]) -> bool:
        end = self._start + len(self._data)
        return all(self._start <= a <= b <= end for a, b in zip(starts, stops, strict=True))
