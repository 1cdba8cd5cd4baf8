"""A file that lies within another: a codestream in NITF, an image in an archive, a FITS file in a container."""

from __future__ import annotations

from collections.abc import Sequence

from scichunk import options
from scichunk.errors import FormatError
from scichunk.sources.base import ByteSource, Fingerprint, check_ranges

__all__ = ["PartSource"]


class PartSource:
    """A stretch of a source as a source of its own, of which nothing is copied.

    Parameters
    ----------
    source
        The file around it.
    start, stop
        First byte of the stretch, and the first byte behind it.

    Raises
    ------
    FormatError
        If the stretch does not lie within the file.
    """

    def __init__(self, source: ByteSource, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= source.fingerprint.size:
            msg = f"bytes {start} to {stop} lie outside the file of {source.fingerprint.size} bytes"
            raise FormatError(msg, url=source.url)
        self._source, self._start = source, start
        self.url = source.url
        self.key = f"{source.key}[{start}:{stop}]"
        self.fingerprint = Fingerprint(stop - start, source.fingerprint.tag)
        self.batch_bytes, self.is_cheap = source.batch_bytes, source.is_cheap

    def __repr__(self) -> str:
        return f"PartSource({self._source!r}, {self._start}, {self._start + self.fingerprint.size})"

    def head(self) -> memoryview:
        """Return the first bytes of the stretch, in memory of their own unless they lie in the head of the file."""
        stop = self._start + min(self.fingerprint.size, options.get().head_bytes)
        head = self._source.head()
        if stop <= len(head):
            return head[self._start : stop]
        return memoryview(bytes(self._source.read_ranges([self._start], [stop])[0]))

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges that count from the first byte of the stretch."""
        return self._source.read_ranges(*self._shift_ranges(starts, stops))

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`."""
        return await self._source.read_ranges_async(*self._shift_ranges(starts, stops))

    def close(self) -> None:
        """Close the file around it; a later read opens it again."""
        self._source.close()

    def _shift_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> tuple[list[int], list[int]]:
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        return [a + self._start for a in starts], [b + self._start for b in stops]
