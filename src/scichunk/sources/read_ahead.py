"""Header bytes of one file, read in windows and counted."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from typing import Final

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded
from scichunk.sources.base import ByteSource

__all__ = ["HeaderReader"]

_READ_AHEAD: Final = 1 << 14
_KEPT: Final = 1 << 26
"""Bytes of windows that are kept: a chain of many directories is walked once, and what lies behind each would fill the memory."""


class HeaderReader:
    """Header bytes of one file: what the first read brought, and windows read later, with an allowance.

    The windows lie in the order of their places, none within another, so that the last one that begins at or before a place is the
    only one that can hold what is wanted from there on.
    """

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.size = source.fingerprint.size
        self._starts: list[int] = [0]
        self._windows: list[memoryview] = [source.head()]
        self._asked: list[int] = [self.size]
        """Behind which byte nothing has been asked for of each window; what is asked for again is not counted again."""
        self._order: deque[int] = deque()
        """Where windows begin, the one read first foremost; without the first read, which is always kept."""
        self._kept = 0
        self._left = options.get().max_header_bytes
        self._lock = threading.Lock()

    def get(self, start: int, stop: int) -> memoryview:
        """Return bytes ``[start, stop)``.

        Raises
        ------
        FormatError
            If they lie outside the file.
        LimitExceeded
            If the headers are larger than ``options.max_header_bytes``; what is read ahead of them does not count.
        """
        with self._lock:
            i = bisect_right(self._starts, start) - 1
            if i >= 0:
                first, data = self._starts[i], self._windows[i]
                if stop <= first + len(data):
                    if stop > self._asked[i]:
                        self._count(stop - max(start, self._asked[i]))
                        self._asked[i] = stop
                    return data[start - first : stop - first]
            if start < 0 or stop > self.size:
                msg = f"header bytes {start} to {stop} lie outside the file of {self.size} bytes"
                raise FormatError(msg, url=self.source.url)
            self._count(stop - start)
        ahead = min(self.size, max(stop, start + _READ_AHEAD))
        data = memoryview(bytes(self.source.read_ranges([start], [ahead])[0]))
        with self._lock:
            self._keep(start, data, stop)
        return data[: stop - start]

    def _count(self, nbytes: int) -> None:
        self._left -= nbytes
        if self._left < 0:
            msg = f"headers hold more than {options.get().max_header_bytes} bytes (options.max_header_bytes)"
            raise LimitExceeded(msg, url=self.source.url)

    def _keep(self, start: int, data: memoryview, asked: int) -> None:
        """Put a window in its place, and give up those within it and, if there are too many, those read first."""
        i = bisect_right(self._starts, start)
        if i and start + len(data) <= self._starts[i - 1] + len(self._windows[i - 1]):
            return  # another thread has read as much
        last = i
        while last < len(self._starts) and self._starts[last] + len(self._windows[last]) <= start + len(data):
            last += 1
        same = i and self._starts[i - 1] == start and start > 0
        i -= bool(same)
        self._kept += len(data) - sum(len(w) for w in self._windows[i:last])
        self._asked[i:last] = [max(asked, *self._asked[i:last])] if i < last else [asked]
        self._starts[i:last], self._windows[i:last] = [start], [data]
        self._order.append(start)
        while self._kept > _KEPT and len(self._order) > 1:
            oldest = self._order.popleft()
            at = bisect_right(self._starts, oldest) - 1
            if self._starts[at] == oldest and oldest != start:  # else it was given up before, or has been read anew
                self._kept -= len(self._windows[at])
                del self._starts[at], self._windows[at], self._asked[at]
