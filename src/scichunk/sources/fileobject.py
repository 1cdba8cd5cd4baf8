"""Open binary file objects of which nothing is known but ``seek`` and ``read``."""

from __future__ import annotations

import asyncio
import contextlib
import io
import operator
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from scichunk import counters, options
from scichunk.errors import SourceError
from scichunk.sources.base import Fingerprint, check_ranges, public_url, tag_with_head
from scichunk.sources.identity import is_of_this_process, object_lock
from scichunk.sources.local import changed_message, plain_raw, stat_descriptor, version_tag
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
        What tells this object from others. A digest of the first bytes is added to it, since the content may be replaced.

    Raises
    ------
    SourceError
        If the object cannot seek, gives text, or raises whatever it likes.
    """

    def __init__(self, file: BinaryIO, tag: str) -> None:
        self.file = file
        self.key = f"object:{tag}"
        self._lock = object_lock(file)
        self._process = os.getpid() if is_of_this_process(tag) else -1
        self.url = public_url(str(getattr(file, "name", "") or f"<{type(file).__name__}>"))
        self._raw = raw = _raw_file(file, self.url)
        self.is_cheap = raw is not None
        self._seen: os.stat_result | None = None
        # a reader's descriptor is read at any position without moving it, so neither threads nor forked children get in the way
        self._descriptor = raw if raw is not None and not raw.writable() else None
        size = self._find_size()
        self._head = self._read_range(0, min(size, options.get().head_bytes))
        self.fingerprint = Fingerprint(size, tag_with_head(tag, self._head))

    @property
    def batch_bytes(self) -> int:
        """Ask for few bytes at a time, as of local files."""
        return options.get().batch_bytes

    def head(self) -> memoryview:
        """Return the first bytes, read when the source was made."""
        return self._head

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Seek and read range by range."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        views = [memoryview(b"")] * len(starts)
        with counters.fetching(starts, stops):
            for fetch in plan_ranges(starts, stops, gap=1 << 12, max_size=1 << 62):
                data = self._read_range(fetch.start, fetch.stop)
                for i in fetch.members:
                    views[i] = data[starts[i] - fetch.start : stops[i] - fetch.start]
        return views

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`, in a thread."""
        return await asyncio.to_thread(self.read_ranges, starts, stops)

    def close(self) -> None:
        """Do nothing: the object is the caller's."""

    def _find_size(self) -> int:
        size = 0
        with self._take_turn("the file object cannot seek"):
            if self._descriptor is None:
                at = self._tell_position()
                self.file.seek(0, 2)
                size = self._tell_position()
                self.file.seek(at)
            if self._raw is not None:  # behind the seek, which writes out what the object has kept back
                self._seen = stat_descriptor(self._raw.fileno(), self.url)
        return size if self._descriptor is None or self._seen is None else self._seen.st_size

    def _read_range(self, start: int, stop: int) -> memoryview:
        """Read a range, and leave the position of the object as it was."""
        parts: list[bytes] = []
        missing = stop - start
        counters.add("requests", 1)
        counters.add("fetched", missing)
        with self._take_turn(f"bytes {start} to {stop} cannot be read from the file object"):
            if self._descriptor is not None:
                while missing > 0 and (part := os.pread(self._descriptor.fileno(), missing, stop - missing)):
                    parts.append(part)
                    missing -= len(part)
            else:
                at = self._tell_position()
                self.file.seek(start)
                while missing > 0 and (part := self._read_some(missing)):
                    parts.append(part)
                    missing -= len(part)
                self.file.seek(at)
            self._compare()
        if missing:
            msg = f"bytes {start} to {stop} end after {stop - start - missing} bytes: the file has changed"
            raise SourceError(msg, url=self.url)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))

    def _compare(self) -> None:
        """Raise SourceError if the file of this machine that the object reads has changed since it was opened."""
        if self._raw is None or self._seen is None:
            return
        mine, found = self._seen, stat_descriptor(self._raw.fileno(), self.url)
        # to lose a name changes the ctime, too, and temporary files lose theirs while they are read
        with_ctime = options.get().trust_ctime and mine.st_nlink == found.st_nlink
        before, now = (Fingerprint(s.st_size, version_tag(s, with_ctime=with_ctime)) for s in (mine, found))
        if before != now:
            raise SourceError(changed_message(before, now))

    def _read_some(self, size: int) -> bytes:
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

    def _tell_position(self) -> int:
        """Ask the object for its position; what ``seek`` returns is not used, since some return nothing."""
        at: Any = self.file.tell()
        if isinstance(at, bool) or not hasattr(at, "__index__") or operator.index(at) < 0:
            msg = f"tell() of the file object gave {at!r} instead of a position"
            raise SourceError(msg)
        return operator.index(at)

    @contextlib.contextmanager
    def _take_turn(self, what: str) -> Iterator[None]:
        """Have the object to oneself; whatever its methods raise is told as a SourceError."""
        if self._descriptor is None and os.getpid() != self._process:
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


def _raw_file(file: Any, url: str) -> io.FileIO | None:
    """Return the unbuffered file of this machine that an object reads, if nothing stands between that changes what is read."""
    if (type(file).__module__, type(file).__name__) == ("tempfile", "_TemporaryFileWrapper"):
        file = file.file
    raw = plain_raw(file)
    if raw is None or raw.closed or not raw.readable():
        return None
    return raw if stat.S_ISREG(stat_descriptor(raw.fileno(), url).st_mode) else None
