"""Open binary file objects of which nothing is known but ``seek`` and ``read``."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from scichunk import options
from scichunk.errors import SourceError
from scichunk.sources.base import Fingerprint, check_ranges, public_url
from scichunk.sources.identity import is_of_this_process
from scichunk.sources.ranges import plan_ranges
from scichunk.sources.retrying import error_of

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
        self._tag = tag
        self._process = os.getpid()
        self.url = public_url(str(getattr(file, "name", "") or f"<{type(file).__name__}>"))
        with self._turn("the file object cannot seek"):
            at = self._position()
            file.seek(0, 2)
            size = self._position()
            file.seek(at)
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
        with self._turn(f"bytes {start} to {stop} cannot be read from the file object"):
            at = self._position()
            self.file.seek(start)
            missing = stop - start
            while missing > 0 and (part := self._some(missing)):
                parts.append(part)
                missing -= len(part)
            self.file.seek(at)
        if missing:
            msg = f"bytes {start} to {stop} end after {stop - start - missing} bytes: the file has changed"
            raise SourceError(msg, url=self.url)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))

    def _some(self, size: int) -> bytes:
        part: Any = self.file.read(size)
        if isinstance(part, str):
            msg = "the file object gives text: open it in binary mode"
            raise SourceError(msg)
        if part is None:
            msg = "the file object has no bytes ready: it must not be in non-blocking mode"
            raise SourceError(msg)
        found = part if isinstance(part, bytes) else bytes(memoryview(part))
        if len(found) > size:
            msg = f"the file object gave {len(found)} bytes when {size} were asked for"
            raise SourceError(msg)
        return found

    def _position(self) -> int:
        """Where the object says that it is; what ``seek`` returns is not used, since some return nothing."""
        at: Any = self.file.tell()
        if isinstance(at, bool) or not hasattr(at, "__index__") or operator.index(at) < 0:
            msg = f"tell() of the file object gave {at!r} instead of a position"
            raise SourceError(msg)
        return operator.index(at)

    @contextlib.contextmanager
    def _turn(self, what: str) -> Iterator[None]:
        """Have the object to oneself; whatever its methods raise is told as a SourceError."""
        if os.getpid() != self._process or not is_of_this_process(self._tag):
            msg = (
                "the open file belongs to the process from which this one was forked, which shares its position: "
                "give the name of the file, or its bytes"
            )
            raise SourceError(msg, url=self.url)
        failure: Exception | None = None
        try:
            with self._lock:
                yield
        except Exception as error:  # noqa: BLE001  # the object is the caller's, and may raise anything
            failure = error_of(error, self.url, what)
        if failure is not None:
            raise failure
