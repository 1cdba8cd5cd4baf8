"""Open binary file objects of which nothing is known but ``seek`` and ``read``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import BinaryIO

from scichunk import options
from scichunk.errors import SourceError
from scichunk.sources.base import Fingerprint, check_ranges
from scichunk.sources.ranges import plan_ranges

__all__ = ["FileObjectSource"]


class FileObjectSource:
    """A seekable binary file object; reads take turns, because it has one position.

    Parameters
    ----------
    file
        The object; the caller's position is put back after each read.
    tag
        What tells this object from others.
    """

    is_cheap = False

    def __init__(self, file: BinaryIO, tag: str) -> None:
        self.file = file
        self.key = f"object:{tag}"
        self._lock = threading.Lock()
        self.url = str(getattr(file, "name", "") or f"<{type(file).__name__}>")
        try:
            with self._lock:
                at = file.tell()
                size = file.seek(0, 2)
                file.seek(at)
        except (OSError, ValueError, AttributeError) as error:
            msg = f"the file object cannot seek: {error}"
            raise SourceError(msg, url=self.url) from error
        self.fingerprint = Fingerprint(size, tag)

    @property
    def batch_bytes(self) -> int:
        """As for local files."""
        return options.get().batch_bytes

    def head(self) -> memoryview:
        """Return the first bytes."""
        return self.read_ranges([0], [min(self.fingerprint.size, options.get().head_bytes)])[0]

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Seek and read range by range."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        views = [memoryview(b"")] * len(starts)
        for fetch in plan_ranges(starts, stops, gap=1 << 12, max_size=1 << 62):
            data = self._read(fetch.start, fetch.stop)
            for i in fetch.members:
                views[i] = data[starts[i] - fetch.start : stops[i] - fetch.start]
        return views

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`, in a thread."""
        return await asyncio.to_thread(self.read_ranges, starts, stops)

    def close(self) -> None:
        """Do nothing: the object is the caller's."""

    def _read(self, start: int, stop: int) -> memoryview:
        parts: list[bytes] = []
        try:
            with self._lock:
                at = self.file.tell()
                self.file.seek(start)
                missing = stop - start
                while missing > 0 and (part := self.file.read(missing)):
                    parts.append(part)
                    missing -= len(part)
                self.file.seek(at)
        except (OSError, ValueError) as error:
            msg = f"bytes {start} to {stop} cannot be read: {error}"
            raise SourceError(msg, url=self.url) from error
        if missing:
            msg = f"bytes {start} to {stop} end after {stop - start - missing} bytes: the file has changed"
            raise SourceError(msg, url=self.url)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
