"""Sources of bytes for tests: one that counts what is asked of it, and one that fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from scichunk.errors import SourceError
from scichunk.sources.base import ByteSource, Fingerprint

__all__ = ["CountingSource", "FlakySource"]


class _Wrapped:
    """A source that hands everything on."""

    def __init__(self, source: ByteSource) -> None:
        self._inner = source
        self.key = source.key

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # not there yet while it is unpickled
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property
    def is_cheap(self) -> bool:
        """Whether a read of the source within costs little."""
        return self._inner.is_cheap

    def close(self) -> None:
        """Close the source within."""
        self._inner.close()

    @property
    def url(self) -> str:
        """Name of the source within."""
        return self._inner.url

    @property
    def fingerprint(self) -> Fingerprint:
        """Version of the source within."""
        return self._inner.fingerprint

    @property
    def batch_bytes(self) -> int:
        """How many bytes the source within wants to be asked for in one batch."""
        return self._inner.batch_bytes

    def _note_read(self, starts: Sequence[int], stops: Sequence[int], /) -> None:
        """Take note of a read, or raise."""

    def head(self) -> memoryview:
        """Return the first bytes of the file; counts as a read."""
        found = self._inner.head()
        self._note_read([0], [len(found)])
        return found

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read half-open ranges."""
        self._note_read(starts, stops)
        return self._inner.read_ranges(starts, stops)

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`."""
        self._note_read(starts, stops)
        return await self._inner.read_ranges_async(starts, stops)


class CountingSource(_Wrapped):
    """A source that counts what is asked of it.

    Parameters
    ----------
    source
        Where the bytes come from.

    Attributes
    ----------
    reads
        How many calls there were.
    ranges
        The half-open ranges that were asked for, in order.
    nbytes
        How many bytes these have together.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source)
        self.reads, self.nbytes = 0, 0
        self.ranges: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def _note_read(self, starts: Sequence[int], stops: Sequence[int]) -> None:
        with self._lock:
            self.reads += 1
            self.nbytes += sum(stops) - sum(starts)
            self.ranges.extend(zip(starts, stops, strict=True))


class FlakySource(_Wrapped):
    """A source that fails after some reads, and from then on always.

    Parameters
    ----------
    source
        Where the bytes come from.
    fail_after
        How many reads succeed.
    error
        What is raised; by default a :class:`~scichunk.errors.SourceError`.
    """

    def __init__(self, source: ByteSource, fail_after: int = 0, error: Exception | None = None) -> None:
        super().__init__(source)
        self._left = fail_after
        self._error = error or SourceError("the source was made to fail", url=source.url)
        self._lock = threading.Lock()

    def _note_read(self, _starts: Sequence[int], _stops: Sequence[int]) -> None:
        with self._lock:
            self._left -= 1
            if self._left < 0:
                raise self._error
