"""Local files: positioned reads into a warm buffer of the thread.

Not a memory map: a file that is truncated while it is mapped kills the process (SIGBUS), a short read is only an error.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import re
import stat
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import counters, options
from scichunk.buffers import borrow_buffer
from scichunk.errors import MissingFile, SourceError
from scichunk.lru import LRU
from scichunk.sources.base import Fingerprint, check_ranges
from scichunk.sources.ranges import plan_ranges

__all__ = [
    "LocalSource",
    "UnnamedSource",
    "changed_message",
    "close_idle_files",
    "has_ctime",
    "plain_raw",
    "stat_descriptor",
    "stat_file",
    "version_tag",
]

_PAGE_BYTES: Final = 4096
_HAS_PREADV: Final = hasattr(os, "preadv")
_DATES: Final = re.compile(r"([0-9a-f]+)\.([0-9a-f]+)(?:\+|$)")
_MAX_READ_BYTES: Final = 1 << 30  # Linux transfers at most 2 GiB - 4 kiB at a time
# O_NONBLOCK: opening a pipe would wait for its writer. What is no regular file is refused right after.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def stat_file(path: str) -> Fingerprint:
    """Return the fingerprint of a local file.

    Raises
    ------
    MissingFile
        If there is no such file.
    SourceError
        If it is no regular file (a directory, a pipe, a device), or cannot be looked at.
    """
    return _make_fingerprint(_stat(path), path)


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)  # three times faster than Path.stat, and on every read's way
    except (FileNotFoundError, NotADirectoryError):
        msg = "no such file"
        raise MissingFile(msg, url=path) from None
    except (OSError, ValueError) as error:
        msg = f"cannot be read: {error}"
        raise SourceError(msg, url=path) from error


def stat_descriptor(number: int, url: str) -> os.stat_result:
    """Look at an open file; SourceError where that fails, as on a network file system on which it was removed."""
    try:
        return os.fstat(number)
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise SourceError(msg, url=url) from error


def plain_raw(file: Any) -> io.FileIO | None:
    """Return the unbuffered file that an open file of Python reads; None where anything stands between.

    Classes that are derived from those of Python, or hold a file of theirs, may decrypt it, or show a part of it: what they read is not
    what the descriptor gives.
    """
    raw = file.raw if type(file) in {io.BufferedReader, io.BufferedRandom} else file
    return raw if type(raw) is io.FileIO else None


def _make_fingerprint(found: os.stat_result, path: str) -> Fingerprint:
    _check_kind(found, path)
    return Fingerprint(found.st_size, version_tag(found, with_ctime=options.get().trust_ctime))


def version_tag(found: os.stat_result, *, with_ctime: bool) -> str:
    """Return what tells versions of a local file of one length apart.

    A date of content (``mtime``) may be put back by whoever replaces a file (``cp -p``, ``rsync -t``, ``tar``); the system's own
    (``ctime``) may not.
    """
    return f"{found.st_mtime_ns:x}.{found.st_ctime_ns:x}" if with_ctime else f"{found.st_mtime_ns:x}"


def has_ctime(version: Fingerprint) -> bool:
    """Whether the version of a local file holds its ``ctime``: what is compared with it must then have it too."""
    return "." in version.tag


def changed_message(mine: Fingerprint, found: Fingerprint) -> str:
    """Say that a local file has changed, and what may be done where nothing but its ``ctime`` has."""
    dates, others = _DATES.match(mine.tag), _DATES.match(found.tag)
    if mine.size == found.size and dates and others and dates[1] == others[1] and dates[2] != others[2]:
        return (
            "the file has changed since it was opened: its size and date are the same and its ctime is not, so that it was replaced, "
            "or its name, links or permissions were changed; open it again, with scichunk.options.set(trust_ctime=False) if that "
            "happens to files whose content stays"
        )
    return "the file has changed since it was opened; open it again"


def _check_kind(found: os.stat_result, path: str) -> None:
    if (found.st_mode & 0o170000) != 0o100000:
        kinds = {
            0o040000: "a directory",
            0o010000: "a pipe",
            0o020000: "a device",
            0o060000: "a device",
            0o140000: "a socket",
        }
        msg = f"is {kinds.get(found.st_mode & 0o170000, 'something else')}, not a regular file"
        raise SourceError(msg, url=path)


class _Descriptor:
    """An open descriptor, closed with the last reference to it.

    A read holds a reference while it runs, so that the number is never closed, and given to another file, under it.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # bound now: modules empty while Python ends
        close(self.number)


_descriptors: LRU[_Descriptor] = LRU(lambda: options.get().cached_files, name="descriptors of local files")
"""Open local files, so that no number of arrays and threads uses up the descriptors of the process."""


def close_idle_files() -> None:
    """Give up the descriptors of all files that are not being read at this moment; they are opened again when needed."""
    _descriptors.clear()


def _open_descriptor(path: str) -> tuple[_Descriptor, os.stat_result]:
    """Open a regular file for reading, and look at what was opened.

    Where the process has no descriptor left, those of files at rest are given up first. Opening a pipe waits for whoever writes into
    it, for ever if nobody does. A look at the path before cannot prevent that, since the file may be exchanged in between; so it is
    opened without waiting, and what was opened is looked at.
    """
    for attempt in range(2):
        try:
            found = _Descriptor(os.open(path, _FLAGS))
        except (FileNotFoundError, NotADirectoryError):
            msg = "no such file"
            raise MissingFile(msg, url=path) from None
        except ValueError as error:  # a zero byte in the name
            msg = f"cannot be read: {error}"
            raise SourceError(msg, url=path) from error
        except OSError as error:
            if error.errno == errno.EMFILE and not attempt:
                close_idle_files()
                continue
            if error.errno == errno.ENXIO:  # a socket, or a device that is not there: the look at it says which
                _check_kind(_stat(path), path)
            msg = f"cannot be opened: {error.strerror}"
            raise SourceError(msg, url=path) from error
        seen = stat_descriptor(found.number, path)
        _check_kind(seen, path)
        return found, seen
    raise AssertionError  # the second attempt returns or raises


def _borrow_shifted(nbytes: int, position: int) -> npt.NDArray[np.uint8]:
    """Memory of this thread half a page off the place that the bytes have in the file.

    Processors copy up to five times slower where the target lies a few bytes further on in its page than the source, as is so
    with the usual addresses of arrays (16) and of pixels (8, in TIFF).
    """
    room = borrow_buffer("read", nbytes + _PAGE_BYTES)
    # Target and page cache half a page apart: with the target a few bytes ahead the copy was measured five times slower.
    first = (position + _PAGE_BYTES // 2 - room.ctypes.data) % _PAGE_BYTES
    return room[first : first + nbytes]


def _own_memory(nbytes: int, _position: int) -> npt.NDArray[np.uint8]:
    """Memory that belongs to nobody else: ranges may overlap, so it is as long as what is read and not as their sum."""
    return np.empty(nbytes, np.uint8)


class LocalSource:
    """A file of this machine, or of a file system that is mounted here.

    Parameters
    ----------
    path
        Absolute path.
    with_ctime
        Whether a changed ``ctime`` makes another version of it.

    Raises
    ------
    MissingFile, SourceError
        If there is no such file, or it cannot be opened.
    """

    is_cheap = True

    def __init__(self, path: str, *, with_ctime: bool = True) -> None:
        self.path = self.url = self.key = path
        # What was opened is looked at, and not the path once more: that is a request to the metadata server of a shared file system.
        opened, seen = _open_descriptor(path)
        self.fingerprint = Fingerprint(seen.st_size, version_tag(seen, with_ctime=with_ctime))
        self._dates = seen.st_mtime_ns, seen.st_ctime_ns if with_ctime else None
        self._lock = threading.Lock()
        self._slot: object = object()
        self._head: memoryview | None = None
        _descriptors.put(self._slot, opened)

    def __del__(
        self, leave: Callable[[object], None] = _descriptors.leave
    ) -> None:  # bound now: modules empty while Python ends
        slot = self.__dict__.get("_slot")
        if slot is not None:
            leave(slot)

    def close(self) -> None:
        """Let go of the descriptor; a read that is going on keeps it, a later one opens the file again."""
        _descriptors.pop(self._slot)

    def check(self) -> None:
        """Raise SourceError if the file has changed since it was opened."""
        self._compare(_stat(self.path))

    def _compare(self, found: os.stat_result) -> None:
        """Compare with the version that was opened; no fingerprint is made for it, since each read comes here."""
        mine, (written, changed) = self.fingerprint, self._dates
        if (
            found.st_size != mine.size
            or found.st_mtime_ns != written
            or (changed is not None and found.st_ctime_ns != changed)
            or not stat.S_ISREG(found.st_mode)
        ):
            _check_kind(found, self.path)
            theirs = Fingerprint(found.st_size, version_tag(found, with_ctime=changed is not None))
            raise SourceError(changed_message(mine, theirs), url=self.url)

    def _open_descriptor(self) -> _Descriptor:
        """The open file; opened again, in the version that it was, if it was closed or has fallen out of the cache."""
        found = _descriptors.get(self._slot)
        if found is None:
            found, seen = _open_descriptor(self.path)
            self._compare(seen)
            return _descriptors.put(self._slot, found)
        return found

    def _compare_opened(self, file: _Descriptor) -> None:
        """Look at the open file after it was read: somebody may have written into it meanwhile, so that to look before is not enough."""
        seen = stat_descriptor(file.number, self.url)
        if not seen.st_nlink:  # removed, or another file has been moved upon it: only the path can tell
            seen = _stat(self.path)
        self._compare(seen)

    def __repr__(self) -> str:
        return f"LocalSource({self.path!r})"

    @property
    def batch_bytes(self) -> int:
        """Few bytes at a time, so that they are still in the processor's cache when they are decoded."""
        return options.get().batch_bytes

    def head(self) -> memoryview:
        """Return the first bytes of the file, read once, in memory of their own."""
        if self._head is None:
            buffer = memoryview(np.empty(min(self.fingerprint.size, options.get().head_bytes), np.uint8))
            file = self._open_descriptor()
            self._fill_view(file, buffer, 0)
            self._compare_opened(file)
            self._head = buffer
        return self._head

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges; the views lie in a buffer of this thread and are valid until its next read."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        with counters.fetching(starts, stops):
            return self._read_ranges(starts, stops, _borrow_shifted)

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`, in a thread; the views stay valid."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        with counters.fetching(starts, stops):
            return await asyncio.to_thread(self._read_ranges, starts, stops, _own_memory)

    def _read_ranges(
        self, starts: Sequence[int], stops: Sequence[int], allocate: Callable[[int, int], npt.NDArray[np.uint8]]
    ) -> list[memoryview]:
        """Read ranges into one buffer, neighbours by one call."""
        file = self._open_descriptor()
        if len(starts) == 1:
            buffer = memoryview(allocate(stops[0] - starts[0], starts[0]))
            self._fill_view(file, buffer, starts[0])
            self._compare_opened(file)
            return [buffer]
        # Only what touches is read together: a gap would be copied for nothing, and a call costs little.
        fetches = plan_ranges(starts, stops, gap=0, max_size=1 << 62)
        total = sum(f.stop - f.start for f in fetches)
        buffer = memoryview(allocate(total, fetches[0].start if fetches else 0))
        views = [buffer[:0]] * len(starts)
        at = 0
        for fetch in fetches:
            size = fetch.stop - fetch.start
            self._fill_view(file, buffer[at : at + size], fetch.start)
            for i in fetch.members:
                first = at + starts[i] - fetch.start
                views[i] = buffer[first : first + stops[i] - starts[i]]
            at += size
        self._compare_opened(file)
        return views

    def _fill_view(self, file: _Descriptor, view: memoryview, start: int) -> None:
        done, size = 0, len(view)
        counters.add("requests", 1)
        counters.add("fetched", size)
        while done < size:
            try:
                got = self._read_at(file, view[done : done + _MAX_READ_BYTES], start + done)
            except OSError as error:
                msg = f"bytes {start} to {start + size} cannot be read: {error.strerror}"
                raise SourceError(msg, url=self.url) from error
            if got == 0:
                self._compare_opened(file)  # which says that it is another version, where it is
                msg = f"bytes {start} to {start + size} end at {start + done}: the file was cut after it was opened"
                raise SourceError(msg, url=self.url)
            done += got

    def _read_at(self, file: _Descriptor, view: memoryview, at: int) -> int:
        if _HAS_PREADV:
            return os.preadv(file.number, [view], at)
        # Where there is no preadv, a descriptor has one position for all threads.
        with self._lock:
            os.lseek(file.number, at, os.SEEK_SET)
            data = os.read(file.number, len(view))
        view[: len(data)] = data
        return len(data)


class UnnamedSource(LocalSource):
    """A temporary file that has no name any more; its space is given back with the last reference.

    Parameters
    ----------
    number
        An open descriptor, which this object closes.
    size
        Bytes in it.
    url
        Name for messages.
    tag
        Of the version of the file whose content this is.
    """

    def __init__(self, number: int, size: int, url: str, tag: str) -> None:  # there is no path to open
        self._file, self._slot, self._head = _Descriptor(number), None, None
        self.path, self.url, self.key = f"/proc/self/fd/{number}", url, url
        self.fingerprint = Fingerprint(size, tag)
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return the descriptor, for libraries that open it by ``/proc/self/fd``."""
        return self._file.number

    def close(self) -> None:
        """Do nothing: without a name the file could not be opened again."""

    def check(self) -> None:
        """Do nothing: nobody else can change the file."""

    def _open_descriptor(self) -> _Descriptor:
        return self._file

    def _compare_opened(self, file: _Descriptor) -> None:
        """Do nothing, as for :meth:`check`."""
