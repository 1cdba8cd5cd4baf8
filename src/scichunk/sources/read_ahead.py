"""Header bytes of one file, read in windows and counted."""

from __future__ import annotations

from typing import Final

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded
from scichunk.sources.base import ByteSource

__all__ = ["HeaderReader"]

_READ_AHEAD: Final = 1 << 14


class HeaderReader:
    """Header bytes of one file: what the first read brought, and windows read later, with an allowance."""

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.size = source.fingerprint.size
        self._windows: list[tuple[int, memoryview]] = [(0, source.head())]
        self._left = options.get().max_header_bytes

    def get(self, start: int, stop: int) -> memoryview:
        """Return bytes ``[start, stop)``.

        Raises
        ------
        FormatError
            If they lie outside the file.
        LimitExceeded
            If the headers are larger than ``options.max_header_bytes``.
        """
        for first, data in self._windows:
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        if start < 0 or stop > self.size:
            msg = f"header bytes {start} to {stop} lie outside the file of {self.size} bytes"
            raise FormatError(msg, url=self.source.url)
        ahead = min(self.size, max(stop, start + _READ_AHEAD))
        self._left -= ahead - start
        if self._left < 0:
            msg = f"headers hold more than {options.get().max_header_bytes} bytes (options.max_header_bytes)"
            raise LimitExceeded(msg, url=self.source.url)
        data = memoryview(bytes(self.source.read_ranges([start], [ahead])[0]))
        self._windows.append((start, data))
        return data[: stop - start]
