"""Temporary files without a name, and local paths for libraries that read nothing else.

A file that is unlinked as soon as it is open is never left behind, whatever becomes of the process, and no process can take it from
another: a forked child shares the open file, not a name that either may remove.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import Final

from scichunk.errors import LimitExceeded, PerformanceWarning, SourceError
from scichunk.sources.base import ByteSource
from scichunk.sources.local import LocalSource, UnnamedSource
from scichunk.warned import warn_caller

__all__ = ["Growing", "LocalCopy", "Spill", "telling_disk_errors"]

_STEP_BYTES: Final = 1 << 24
_WHAT: Final = "its content cannot be kept"
_IN_MEMORY_BYTES: Final = 1 << 26
"""More of what is made as it is asked for goes to a temporary file."""


@contextlib.contextmanager
def telling_disk_errors(url: str, what: str) -> Iterator[None]:
    """Raise what goes wrong with a temporary file as a SourceError.

    Parameters
    ----------
    url
        The file on account of which there is one.
    what
        Begins the message, for example "cannot be written".
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        msg = f"{what}: {error.strerror or error}, in the folder for temporary files"
        raise SourceError(msg, url=url) from error


class Spill:
    """Bytes on their way into a temporary file that has no name.

    Parameters
    ----------
    url
        Name of the file whose content it is, for messages.
    """

    def __init__(self, url: str) -> None:
        self._url, self.size = url, 0
        with telling_disk_errors(url, _WHAT):
            self._file = tempfile.TemporaryFile(prefix="scichunk-")  # noqa: SIM115  # it lives on in the source that is made of it

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        with telling_disk_errors(self._url, _WHAT):
            self._file.write(data)
        self.size += len(data)

    def read(self, start: int, stop: int) -> bytes:
        """Read what was written; not while another thread writes."""
        with telling_disk_errors(self._url, _WHAT):
            self._file.seek(start)
            found = self._file.read(stop - start)
            self._file.seek(0, 2)
        return found

    def finish(self, tag: str) -> UnnamedSource:
        """Return what was written as a source, which holds the only reference to the file."""
        with telling_disk_errors(self._url, _WHAT):
            self._file.flush()
            source = UnnamedSource(os.dup(self._file.fileno()), self.size, self._url, tag)
            self._file.close()
        return source

    def close(self) -> None:
        """Give the space back."""
        with contextlib.suppress(OSError):  # of what could not be written, and is not wanted any more
            self._file.close()


class Growing:
    """Content that is made from its beginning on, as far as somebody asks for it, and kept. One thread at a time.

    Parameters
    ----------
    pieces
        Gives the content in pieces.
    url
        Name of the file, for messages.
    """

    def __init__(self, pieces: Iterator[bytes], url: str) -> None:
        self._spill: Spill | None = None
        self._pieces, self._url = pieces, url
        self._kept = bytearray()
        self._size = 0

    def __del__(self) -> None:
        if self._spill is not None:
            self._spill.close()

    @property
    def cached_bytes(self) -> int:
        """What of it lies in memory."""
        return len(self._kept)

    def read(self, start: int, stop: int, limit: int) -> bytes:
        """Return a range, or less where the content ends.

        Raises
        ------
        LimitExceeded
            If there is more than ``limit`` before the end of the range.
        """
        while self._size < stop and (piece := next(self._pieces, b"")):
            self._size += len(piece)
            if self._size > limit:
                msg = f"more than {limit} bytes when decompressed (options.max_expanded_bytes)"
                raise LimitExceeded(msg, url=self._url)
            if self._spill is None and self._size > _IN_MEMORY_BYTES:
                self._spill = Spill(self._url)
                self._spill.write(self._kept)
                self._kept = bytearray()
            if self._spill is None:
                self._kept += piece
            else:
                self._spill.write(piece)
        return bytes(memoryview(self._kept)[start:stop]) if self._spill is None else self._spill.read(start, stop)


class LocalCopy:
    """The content of a source under a path of this machine, for libraries that read only such.

    Parameters
    ----------
    source
        The file; one of this machine is not copied.
    suffix
        That libraries may look at, with the dot.
    why
        Why a copy is needed, for the warning.
    """

    def __init__(self, source: ByteSource, suffix: str, why: str) -> None:
        self._source, self._suffix, self._why = source, suffix, why
        self._copy: UnnamedSource | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise SourceError if a file of this machine has changed since it was opened, before the block or by its end.

        A library that reads a file while somebody writes into it gives values of both versions, or an error that says nothing of that.
        """
        self._check()
        try:
            yield
        except Exception:
            self._check()
            raise
        self._check()

    def _check(self) -> None:
        if isinstance(self._source, LocalSource):
            self._source.check()

    @contextlib.contextmanager
    def path(self) -> Iterator[str]:
        """Lend a path that is valid within the block; what a library opens there stays readable after it.

        Warns
        -----
        PerformanceWarning
            If a large file has to be copied.
        """
        if type(self._source) is LocalSource:
            with self.unchanged():
                yield self._source.path
            return
        copy = self._copy_source()
        name = f"/proc/self/fd/{copy.fileno()}"
        if os.path.exists(name):
            yield name
            return
        with contextlib.ExitStack() as stack:  # no /proc: not on Linux
            with telling_disk_errors(copy.url, _WHAT):
                file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="scichunk-", suffix=self._suffix))
                for start in range(0, copy.fingerprint.size, _STEP_BYTES):
                    stop = min(copy.fingerprint.size, start + _STEP_BYTES)
                    file.write(copy.read_ranges([start], [stop])[0])
                file.flush()
            yield file.name

    def close(self) -> None:
        """Give the copy up; it is made again if it is needed again."""
        with self._lock:
            self._copy = None

    def _copy_source(self) -> UnnamedSource:
        """Copy the file to a temporary one, piece by piece."""
        source = getattr(self._source, "content", self._source)  # a file that was expanded to disk lies there already
        if isinstance(source, UnnamedSource):
            return source
        with self._lock:
            if self._copy is None:
                size = source.fingerprint.size
                if size > _STEP_BYTES:
                    msg = f"{source.url} is copied to a temporary file ({size >> 20} MB) because {self._why}"
                    warn_caller(msg, PerformanceWarning)
                spill = Spill(source.url)
                try:
                    for start in range(0, size, _STEP_BYTES):
                        spill.write(source.read_ranges([start], [min(size, start + _STEP_BYTES)])[0])
                    self._copy = spill.finish(source.fingerprint.tag)
                finally:
                    spill.close()
            return self._copy
