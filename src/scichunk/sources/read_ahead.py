"""Header bytes of one file, read in windows and counted."""

from __future__ import annotations

import bisect
import threading
from typing import Final

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded
from scichunk.sources.base import ByteSource

__all__ = ["HeaderReader"]

_READ_AHEAD_BYTES: Final = 1 << 14
_KEPT_BYTES: Final = 1 << 26
_KEPT_WINDOWS: Final = 1 << 14
"""What is read ahead does not count against the allowance, so of very many windows only the latest are kept."""


class HeaderReader:
    """Header bytes of one file: what the first read brought, and windows read later.

    An allowance counts the bytes that are asked for and are not there yet; it does not count what is read ahead with them.
    """

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.size = source.fingerprint.size
        self._head = source.head()
        self._head_size = len(self._head)
        self._recent = 0, self._head_size, self._head
        """First byte, byte behind the last, and data of the window that was read last: one value, so that no lock is needed."""
        self._starts = [0]
        """Where the windows begin. Both their starts and their ends ascend, so that of those that begin before a place the last
        reaches furthest."""
        self._windows = [self._head]
        self._order: dict[int, None] = {}
        """Starts of the windows behind the first one, the oldest first."""
        self._kept = 0
        self.parsed_bytes = 0
        """What was made of them and is kept: counted by those who keep it."""
        self._asked = self._charged = 0
        """Bytes that were asked for, and that were made of them: counted upwards, so that a limit that is raised later holds at once."""
        self._lock = threading.Lock()

    @property
    def cached_bytes(self) -> int:
        """Memory of the windows, and of what was made of them."""
        return self._head_size + self._kept + self.parsed_bytes

    def get(self, start: int, stop: int) -> memoryview:
        """Return bytes ``[start, stop)``.

        Raises
        ------
        FormatError
            If they lie outside the file.
        LimitExceeded
            If the headers are larger than ``options.max_header_bytes``.
        """
        if start >= 0 and stop <= self._head_size:  # nearly always, and a file has dozens of tags
            return self._head[start:stop]
        first, end, data = self._recent
        if first <= start and stop <= end:
            return data[start - first : stop - first]
        ahead = min(self.size, max(stop, start + _READ_AHEAD_BYTES))
        with self._lock:
            i = bisect.bisect_right(self._starts, start)
            if i:
                first, data = self._starts[i - 1], self._windows[i - 1]
                if stop <= first + len(data):
                    self._recent = first, first + len(data), data
                    return data[start - first : stop - first]
            if start < 0 or stop > self.size:
                msg = f"header bytes {start} to {stop} lie outside the file of {self.size} bytes"
                raise FormatError(msg, url=self.source.url)
            if self._asked + stop - start > (limit := options.get().max_header_bytes):
                msg = f"headers hold more than {limit} bytes (options.max_header_bytes)"
                raise LimitExceeded(msg, url=self.source.url)
            self._asked += stop - start
            if i < len(self._starts) and stop <= self._starts[i]:
                ahead = min(ahead, self._starts[i])
        data = memoryview(bytes(self.source.read_ranges([start], [ahead])[0]))
        with self._lock:
            self._insert_window(start, data)
        self._recent = start, ahead, data
        return data[: stop - start]

    def charge(self, nbytes: int) -> None:
        """Count what is about to be made of header bytes and kept: places that are read again and again give any amount.

        Raises
        ------
        LimitExceeded
            If it is more than ``options.max_header_bytes`` together.
        """
        with self._lock:
            if self._charged + nbytes > (limit := options.get().max_header_bytes):
                msg = f"what headers say takes more than {limit} bytes (options.max_header_bytes)"
                raise LimitExceeded(msg, url=self.source.url)
            self._charged += nbytes

    def _insert_window(self, start: int, data: memoryview) -> None:
        """Keep a window instead of those that lie within it, and only the latest ones."""
        low = high = bisect.bisect_left(self._starts, start)
        if low and self._starts[low - 1] + len(self._windows[low - 1]) >= start + len(data):
            return  # another thread was faster
        while high < len(self._starts) and self._starts[high] + len(self._windows[high]) <= start + len(data):
            high += 1
        for old in self._starts[low:high]:
            self._forget_window(old)
        if low < len(self._starts) and self._starts[low] == start:
            return  # the one that is there reaches further
        self._starts.insert(low, start)
        self._windows.insert(low, data)
        self._order[start] = None
        self._kept += len(data)
        while len(self._order) > 1 and (self._kept > _KEPT_BYTES or len(self._order) > _KEPT_WINDOWS):
            self._forget_window(next(iter(self._order)))

    def _forget_window(self, start: int) -> None:
        i = bisect.bisect_left(self._starts, start)
        if start in self._order:  # the first one, which the source keeps anyway, does not count
            del self._order[start]
            self._kept -= len(self._windows[i])
        del self._starts[i], self._windows[i]
